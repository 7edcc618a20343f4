import type { ConfigReader } from '../config';
import type { Family, Rename, SpecOptions } from '../family';
import { ENCODER_TASKS, tokenHead } from '../heads';
import { layerNorm, linear, NO_NORMS, readActivation, readSizes, type Sizes } from '../sizes';
import type { HeadSpec, LayerSpec, Spec, TokenEmbeddingSpec } from '../spec';

interface Variant {
  /** Path of the body within a model with a head: `bert.`. */
  readonly prefix: string;
  readonly head: (options: SpecOptions, body: string, hidden_size: number) => HeadSpec;
  readonly embedding: (reader: ConfigReader, prefix: string, sizes: Sizes) => TokenEmbeddingSpec;
  readonly layer: (reader: ConfigReader, prefix: string, sizes: Sizes, i: number) => LayerSpec;
}

function specOf(reader: ConfigReader, options: SpecOptions, variant: Variant): Spec {
  if (reader.flag('is_decoder'))
    throw reader.bad('is_decoder', 'is true: such a model is not supported');
  const sizes = readSizes(reader);
  const { hidden_size, vocab_size, num_layers } = sizes;
  const prefix = options.task === 'embedding' ? '' : variant.prefix;
  return {
    family: String(reader.config['model_type']),
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: false,
    embedding: variant.embedding(reader, prefix, sizes),
    layers: Array.from({ length: num_layers }, (_, i) => variant.layer(reader, prefix, sizes, i)),
    final_norm: null,
    head: variant.head(options, prefix, hidden_size),
  };
}

const POOLED: HeadSpec = { kind: 'pooled', normalise: true };

function bertHead({ task, num_labels }: SpecOptions, body: string, hidden_size: number): HeadSpec {
  if (task === 'embedding') return POOLED;
  if (task === 'token_cls') return tokenHead('classifier', hidden_size, num_labels);
  return {
    kind: 'labels',
    pool: 'first',
    dense: {
      linear: linear(`${body}pooler.dense`, hidden_size, hidden_size, true),
      activation: 'tanh',
    },
    output: linear('classifier', hidden_size, num_labels, true),
  };
}

function robertaHead(
  { task, num_labels }: SpecOptions,
  _body: string,
  hidden_size: number,
): HeadSpec {
  if (task === 'embedding') return POOLED;
  if (task === 'token_cls') return tokenHead('classifier', hidden_size, num_labels);
  return {
    kind: 'labels',
    pool: 'first',
    dense: {
      linear: linear('classifier.dense', hidden_size, hidden_size, true),
      activation: 'tanh',
    },
    output: linear('classifier.out_proj', hidden_size, num_labels, true),
  };
}

/** `first`: the row of the first position. RoBERTa's begin after that of the padding. */
function bertEmbedding(
  reader: ConfigReader,
  prefix: string,
  { hidden_size, vocab_size }: Sizes,
  first: number,
): TokenEmbeddingSpec {
  const { position_embedding_type = 'absolute' } = reader.config;
  if (position_embedding_type !== 'absolute')
    throw reader.bad(
      'position_embedding_type',
      `must be "absolute", not ${JSON.stringify(position_embedding_type)}`,
    );
  return {
    kind: 'tokens',
    tokens: { path: `${prefix}embeddings.word_embeddings`, rows: vocab_size },
    scale: 1,
    positions: {
      path: `${prefix}embeddings.position_embeddings`,
      rows: reader.count('max_position_embeddings', 512),
      offset: first,
    },
    types: {
      path: `${prefix}embeddings.token_type_embeddings`,
      rows: reader.count('type_vocab_size', 2),
    },
    norm: layerNorm(
      `${prefix}embeddings.LayerNorm`,
      hidden_size,
      reader.positive('layer_norm_eps', 1e-12),
    ),
  };
}

function bertLayer(
  reader: ConfigReader,
  body: string,
  { hidden_size, intermediate_size, num_heads, head_dim }: Sizes,
  i: number,
): LayerSpec {
  const at = `${body}encoder.layer.${i}`;
  const eps = reader.positive('layer_norm_eps', 1e-12);
  const part = (name: string) =>
    linear(`${at}.attention.self.${name}`, hidden_size, hidden_size, true);
  return {
    residual: 'sequential',
    attention: {
      num_heads,
      num_kv_heads: num_heads,
      head_dim,
      layout: 'separate',
      qkv: [part('query'), part('key'), part('value')],
      o: linear(`${at}.attention.output.dense`, hidden_size, hidden_size, true),
      qk_norm: null,
      rope: null,
      scale: 1 / Math.sqrt(head_dim),
      window: null,
      softcap: null,
    },
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu'),
      up: linear(`${at}.intermediate.dense`, hidden_size, intermediate_size, true),
      down: linear(`${at}.output.dense`, intermediate_size, hidden_size, true),
    },
    norms: {
      ...NO_NORMS,
      after_attention: layerNorm(`${at}.attention.output.LayerNorm`, hidden_size, eps),
      after_mlp: layerNorm(`${at}.output.LayerNorm`, hidden_size, eps),
    },
  };
}

const DISTIL_EPS = 1e-12;

function distilHead(
  { task, num_labels }: SpecOptions,
  _body: string,
  hidden_size: number,
): HeadSpec {
  if (task === 'embedding') return POOLED;
  if (task === 'token_cls') return tokenHead('classifier', hidden_size, num_labels);
  return {
    kind: 'labels',
    pool: 'first',
    dense: { linear: linear('pre_classifier', hidden_size, hidden_size, true), activation: 'relu' },
    output: linear('classifier', hidden_size, num_labels, true),
  };
}

function distilEmbedding(
  reader: ConfigReader,
  prefix: string,
  { hidden_size, vocab_size }: Sizes,
): TokenEmbeddingSpec {
  return {
    kind: 'tokens',
    tokens: { path: `${prefix}embeddings.word_embeddings`, rows: vocab_size },
    scale: 1,
    types: null,
    positions: {
      path: `${prefix}embeddings.position_embeddings`,
      rows: reader.count('max_position_embeddings', 512),
      offset: 0,
    },
    norm: layerNorm(`${prefix}embeddings.LayerNorm`, hidden_size, DISTIL_EPS),
  };
}

function distilLayer(
  reader: ConfigReader,
  body: string,
  { hidden_size, intermediate_size, num_heads, head_dim }: Sizes,
  i: number,
): LayerSpec {
  const at = `${body}transformer.layer.${i}`;
  const part = (name: string) => linear(`${at}.attention.${name}`, hidden_size, hidden_size, true);
  return {
    residual: 'sequential',
    attention: {
      num_heads,
      num_kv_heads: num_heads,
      head_dim,
      layout: 'separate',
      qkv: [part('q_lin'), part('k_lin'), part('v_lin')],
      o: part('out_lin'),
      qk_norm: null,
      rope: null,
      scale: 1 / Math.sqrt(head_dim),
      window: null,
      softcap: null,
    },
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu'),
      up: linear(`${at}.ffn.lin1`, hidden_size, intermediate_size, true),
      down: linear(`${at}.ffn.lin2`, intermediate_size, hidden_size, true),
    },
    norms: {
      ...NO_NORMS,
      after_attention: layerNorm(`${at}.sa_layer_norm`, hidden_size, DISTIL_EPS),
      after_mlp: layerNorm(`${at}.output_layer_norm`, hidden_size, DISTIL_EPS),
    },
  };
}

const RENAMES: readonly Rename[] = [
  [/\.position_ids$/, null],
  [/\.gamma$/, '.weight'],
  [/\.beta$/, '.bias'],
];

const encoder = (variant: Variant) => ({
  tasks: ENCODER_TASKS,
  spec: (reader: ConfigReader, options: SpecOptions) => specOf(reader, options, variant),
  renames: RENAMES,
  mlx: false,
  gguf: null,
});

export const bertFamilies: Readonly<Record<string, Family>> = {
  bert: {
    ...encoder({
      prefix: 'bert.',
      head: bertHead,
      layer: bertLayer,
      embedding: (reader, prefix, sizes) => bertEmbedding(reader, prefix, sizes, 0),
    }),
    transformersClass: 'Bert',
  },
  roberta: {
    ...encoder({
      prefix: 'roberta.',
      head: robertaHead,
      layer: bertLayer,
      embedding: (reader, prefix, sizes) =>
        bertEmbedding(reader, prefix, sizes, reader.whole('pad_token_id', 1) + 1),
    }),
    transformersClass: 'Roberta',
  },
  distilbert: {
    ...encoder({
      prefix: 'distilbert.',
      head: distilHead,
      layer: distilLayer,
      embedding: distilEmbedding,
    }),
    transformersClass: 'DistilBert',
  },
};
