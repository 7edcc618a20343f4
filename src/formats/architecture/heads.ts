import type { ConfigReader } from './config';
import type { SpecOptions } from './family';
import { linear } from './sizes';
import type { HeadSpec } from './spec';

/** The tasks of models that generate text. */
export const DECODER_TASKS = ['causal_lm', 'seq_cls', 'token_cls'] as const;
/** Those of families without a class for token classification in transformers. */
export const GENERATION_TASKS = ['causal_lm', 'seq_cls'] as const;
/** The tasks of models that encode text. */
export const ENCODER_TASKS = ['seq_cls', 'token_cls', 'embedding'] as const;

interface DecoderHeadOptions {
  readonly hidden_size: number;
  readonly vocab_size: number;
  /** Path of the language model's output layer. */
  readonly output?: string;
  /** Whether that layer is tied to the embedding when the config doesn't say. */
  readonly tied_by_default?: boolean;
  /** Softcap of the language model's logits; null: none. */
  readonly softcap?: number | null;
  /** Factor of the language model's logits. */
  readonly scale?: number;
  /** Path of the layer that classifies tokens. */
  readonly token_classifier?: string;
}

/**
 * The head of a decoder: the language model's; or `score` on the last token, without a bias; or a
 * classifier of each token, with a bias.
 */
export function decoderHead(
  reader: ConfigReader,
  { task, num_labels }: SpecOptions,
  {
    hidden_size,
    vocab_size,
    output = 'lm_head',
    tied_by_default = false,
    softcap = null,
    scale = 1,
    token_classifier = 'score',
  }: DecoderHeadOptions,
): HeadSpec {
  if (task === 'token_cls') return tokenHead(token_classifier, hidden_size, num_labels);
  if (task === 'seq_cls')
    return {
      kind: 'labels',
      pool: 'last',
      dense: null,
      output: linear('score', hidden_size, num_labels),
    };
  return {
    kind: 'lm',
    output: linear(output, hidden_size, vocab_size),
    tied: reader.flag('tie_word_embeddings', tied_by_default),
    softcap,
    ...(scale !== 1 && { scale }),
  };
}

/** A classifier of each token, with a bias. */
export const tokenHead = (path: string, hidden_size: number, num_labels: number): HeadSpec => ({
  kind: 'labels',
  pool: 'none',
  dense: null,
  output: linear(path, hidden_size, num_labels, true),
});
