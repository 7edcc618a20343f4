import { LoraError } from '../../../shared/errors';
import type { GgufFamily } from '../../gguf/family';
import type { Metadata } from '../../gguf/metadata';

// BERT in GGUF files: the encoder alone, without the pooler and layers for other tasks.

const ARCH = 'bert';

/** Vocabularies of the architecture's other models, whose position tables lack their first rows. */
const OTHERS: ReadonlyMap<string, string> = new Map([
  ['gpt2', 'RoBERTa'],
  ['t5', 'XLM-RoBERTa'],
]);

/** @throws LoraError('base') for a model with the vocabulary of another one than BERT */
function refuseOthers(metadata: Metadata): void {
  const key = 'tokenizer.ggml.model';
  const other = OTHERS.get(metadata.string(key, 'bert'));
  if (other === undefined) return;
  throw new LoraError(
    'base',
    `The model has the vocabulary of ${other}, which is not supported in GGUF files.`,
    { place: { file: metadata.file, key }, fix: "Use the model's safetensors folder." },
  );
}

/** @throws LoraError('base') for attention that sees the tokens before it only */
function refuseCausal(metadata: Metadata): void {
  const key = `${ARCH}.attention.causal`;
  if (!metadata.boolean(key, false)) return;
  throw new LoraError('base', 'The encoder has causal attention, which is not supported.', {
    place: { file: metadata.file, key },
  });
}

/** llama.cpp's numbers of no pooling and of the mean of all tokens. */
const MEANS: readonly number[] = [0, 1];

/** @throws LoraError('base') for sentence embeddings that are not the mean of all tokens */
function refuseOtherPooling(metadata: Metadata): void {
  const key = `${ARCH}.pooling_type`;
  if (MEANS.includes(metadata.number(key, 1))) return;
  throw new LoraError(
    'base',
    "The model's sentence embeddings are not the mean of all tokens; another pooling is not supported.",
    { place: { file: metadata.file, key }, fix: 'Choose a model such as all-MiniLM-L6-v2.' },
  );
}

export const bertGguf: GgufFamily = {
  arch: ARCH,
  model_type: 'bert',
  tasks: ['embedding'],
  top: new Map([
    ['token_embd.weight', 'embeddings.word_embeddings.weight'],
    ['position_embd.weight', 'embeddings.position_embeddings.weight'],
    ['token_types.weight', 'embeddings.token_type_embeddings.weight'],
    ['token_embd_norm.weight', 'embeddings.LayerNorm.weight'],
    ['token_embd_norm.bias', 'embeddings.LayerNorm.bias'],
  ]),
  layers: 'encoder.layer',
  parts: new Map([
    ['attn_q', 'attention.self.query'],
    ['attn_k', 'attention.self.key'],
    ['attn_v', 'attention.self.value'],
    ['attn_output', 'attention.output.dense'],
    ['attn_output_norm', 'attention.output.LayerNorm'],
    ['ffn_up', 'intermediate.dense'],
    ['ffn_down', 'output.dense'],
    ['layer_output_norm', 'output.LayerNorm'],
  ]),
  unapplied: /^embeddings\.(?:position|token_type)_embeddings$/,
  partial_rotary: false,
  storage: () => 'plain',
  config: (metadata) => {
    refuseOthers(metadata);
    refuseCausal(metadata);
    refuseOtherPooling(metadata);
    return {
      hidden_act: 'gelu',
      layer_norm_eps: metadata.decimal(`${ARCH}.attention.layer_norm_epsilon`, 1e-12),
      type_vocab_size: metadata.number('tokenizer.ggml.token_type_count', 2),
      pad_token_id: metadata.number('tokenizer.ggml.padding_token_id', 0),
    };
  },
};
