import type { ConfigReader } from './config';
import type { SpecOptions } from './family';
import { linear } from './sizes';
import type { HeadSpec } from './spec';

/**
 * The heads of decoders: the language model's, or `score` on the last token (without a bias) or on
 * all tokens (with one).
 */
export function decoderHead(
  reader: ConfigReader,
  { task, num_labels }: SpecOptions,
  hidden_size: number,
  vocab_size: number,
  softcap: number | null = null,
  path = 'lm_head',
  tied_by_default = false,
): HeadSpec {
  if (task === 'seq_cls')
    return {
      kind: 'labels',
      pool: 'last',
      dense: null,
      output: linear('score', hidden_size, num_labels),
    };
  if (task === 'token_cls')
    return {
      kind: 'labels',
      pool: 'none',
      dense: null,
      output: linear('score', hidden_size, num_labels, true),
    };
  return {
    kind: 'lm',
    output: linear(path, hidden_size, vocab_size),
    tied: reader.flag('tie_word_embeddings', tied_by_default),
    softcap,
  };
}

export const DECODER_TASKS = ['causal_lm', 'seq_cls', 'token_cls'] as const;
export const ENCODER_TASKS = ['seq_cls', 'token_cls', 'embedding'] as const;
