import type { ConfigReader } from '../config';
import type { Family, Rename, SpecOptions } from '../family';
import { ENCODER_TASKS, tokenHead } from '../heads';
import {
  layerNorm,
  linear,
  NO_NORMS,
  plainAttention,
  readActivation,
  readSizes,
  tokenTable,
  type Sizes,
} from '../sizes';
import type { HeadSpec, LayerSpec, Spec, TokenEmbeddingSpec } from '../spec';
import { bertGguf, distilbertGguf, robertaGguf } from './bertGguf';

interface EncoderVariant {
  /** Path of the body within a model with a head: `bert.`. */
  readonly prefix: string;
  readonly head: (
    options: SpecOptions,
    body: string,
    hidden_size: number,
    reader: ConfigReader,
  ) => HeadSpec;
  readonly embedding: (reader: ConfigReader, prefix: string, sizes: Sizes) => TokenEmbeddingSpec;
  readonly layers: (reader: ConfigReader, prefix: string, sizes: Sizes) => LayerSpec[];
}

function specOf(reader: ConfigReader, options: SpecOptions, variant: EncoderVariant): Spec {
  if (reader.flag('is_decoder'))
    throw reader.bad('is_decoder', 'is true: such a model is not supported');
  const sizes = readSizes(reader);
  const { hidden_size, vocab_size } = sizes;
  const prefix = options.task === 'embedding' ? '' : variant.prefix;
  const layers = variant.layers(reader, prefix, sizes);
  return {
    family: String(reader.config['model_type']),
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers: layers.length,
    causal: false,
    embedding: variant.embedding(reader, prefix, sizes),
    layers,
    final_norm: null,
    head: variant.head(options, prefix, hidden_size, reader),
  };
}

type LayerOf = (reader: ConfigReader, prefix: string, sizes: Sizes, i: number) => LayerSpec;

/** Layers that differ by their number only. */
export const eachLayer =
  (layer: LayerOf): EncoderVariant['layers'] =>
  (reader, prefix, sizes) =>
    Array.from({ length: sizes.num_layers }, (_, i) => layer(reader, prefix, sizes, i));

/** The mean of a sequence's vectors; `pooler`: a layer that PEFT finds beside them. */
export const pooledHead = (pooler: string | null, hidden_size: number): HeadSpec => ({
  kind: 'pooled',
  normalise: true,
  ...(pooler !== null && { pooler: linear(pooler, hidden_size, hidden_size, true) }),
});

function bertHead({ task, num_labels }: SpecOptions, body: string, hidden_size: number): HeadSpec {
  if (task === 'embedding') return pooledHead('pooler.dense', hidden_size);
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

export function robertaHead(
  { task, num_labels }: SpecOptions,
  _body: string,
  hidden_size: number,
): HeadSpec {
  if (task === 'embedding') return pooledHead('pooler.dense', hidden_size);
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

/** `padding`: RoBERTa's positions begin after the padding's id, and do not count padding. */
export function bertEmbedding(
  reader: ConfigReader,
  prefix: string,
  { width, vocab_size }: { readonly width: number; readonly vocab_size: number },
  padding?: number,
): TokenEmbeddingSpec {
  const { position_embedding_type = 'absolute' } = reader.config;
  if (position_embedding_type !== 'absolute')
    throw reader.bad(
      'position_embedding_type',
      `must be "absolute", not ${JSON.stringify(position_embedding_type)}`,
    );
  const types = reader.whole('type_vocab_size', 2);
  return {
    kind: 'tokens',
    tokens: {
      ...tokenTable(reader, `${prefix}embeddings.word_embeddings`, vocab_size, 0),
      ...(padding !== undefined && { padding }),
    },
    scale: 1,
    positions: {
      path: `${prefix}embeddings.position_embeddings`,
      rows: reader.count('max_position_embeddings', 512),
      ...(padding === undefined ? { offset: 0 } : { offset: padding + 1, skips: padding }),
    },
    types: types > 0 ? { path: `${prefix}embeddings.token_type_embeddings`, rows: types } : null,
    norm: layerNorm(
      `${prefix}embeddings.LayerNorm`,
      width,
      reader.positive('layer_norm_eps', 1e-12),
    ),
  };
}

export function bertLayer(
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
    attention: plainAttention(
      { num_heads, head_dim },
      {
        qkv: [part('query'), part('key'), part('value')],
        o: linear(`${at}.attention.output.dense`, hidden_size, hidden_size, true),
      },
    ),
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

export const robertaEmbedding: EncoderVariant['embedding'] = (reader, prefix, sizes) =>
  bertEmbedding(
    reader,
    prefix,
    { width: sizes.hidden_size, vocab_size: sizes.vocab_size },
    reader.whole('pad_token_id', 1),
  );

const DISTIL_EPS = 1e-12;

function distilHead(
  { task, num_labels }: SpecOptions,
  _body: string,
  hidden_size: number,
): HeadSpec {
  if (task === 'embedding') return pooledHead(null, hidden_size);
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
    tokens: tokenTable(reader, `${prefix}embeddings.word_embeddings`, vocab_size, 0),
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
    attention: plainAttention(
      { num_heads, head_dim },
      { qkv: [part('q_lin'), part('k_lin'), part('v_lin')], o: part('out_lin') },
    ),
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

/** What all encoders have in common. */
export const encoder = (variant: EncoderVariant) => ({
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
      layers: eachLayer(bertLayer),
      embedding: (reader, prefix, { hidden_size: width, vocab_size }) =>
        bertEmbedding(reader, prefix, { width, vocab_size }),
    }),
    gguf: bertGguf,
    transformersClass: 'Bert',
  },
  roberta: {
    ...encoder({
      prefix: 'roberta.',
      head: robertaHead,
      layers: eachLayer(bertLayer),
      embedding: robertaEmbedding,
    }),
    gguf: robertaGguf,
    transformersClass: 'Roberta',
  },
  distilbert: {
    ...encoder({
      prefix: 'distilbert.',
      head: distilHead,
      layers: eachLayer(distilLayer),
      embedding: distilEmbedding,
    }),
    gguf: distilbertGguf,
    transformersClass: 'DistilBert',
  },
};
