import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { tokenHead } from '../heads';
import { layerNorm, linear, NO_NORMS, plainAttention, readActivation, type Sizes } from '../sizes';
import type { HeadSpec, LayerSpec, TokenEmbeddingSpec } from '../spec';
import {
  bertEmbedding,
  bertLayer,
  eachLayer,
  encoder,
  pooledHead,
  robertaEmbedding,
  robertaHead,
} from './bert';
import { xlmRobertaGguf } from './bertGguf';

/** Tables of their own width, and a layer from it to that of the others. */
function projectedEmbedding(
  reader: ConfigReader,
  prefix: string,
  { hidden_size, vocab_size }: Sizes,
  projection: string,
): TokenEmbeddingSpec {
  const width = reader.count('embedding_size', 128);
  return {
    ...bertEmbedding(reader, prefix, { width, vocab_size }),
    projection: linear(`${prefix}${projection}`, width, hidden_size, true),
  };
}

/** ELECTRA projects only where the widths differ. */
function electraEmbedding(reader: ConfigReader, prefix: string, sizes: Sizes): TokenEmbeddingSpec {
  const projected = projectedEmbedding(reader, prefix, sizes, 'embeddings_project');
  const { projection, ...tables } = projected;
  return projection?.in_features === sizes.hidden_size ? tables : projected;
}

function electraHead(options: SpecOptions, body: string, hidden_size: number): HeadSpec {
  if (options.task === 'embedding') return pooledHead(null, hidden_size);
  const head = robertaHead(options, body, hidden_size);
  if (head.kind !== 'labels' || !head.dense) return head;
  return { ...head, dense: { ...head.dense, activation: 'gelu' } };
}

function albertHead(
  { task, num_labels }: SpecOptions,
  body: string,
  hidden_size: number,
): HeadSpec {
  if (task === 'embedding') return pooledHead('pooler', hidden_size);
  if (task === 'token_cls') return tokenHead('classifier', hidden_size, num_labels);
  return {
    kind: 'labels',
    pool: 'first',
    dense: {
      linear: linear(`${body}pooler`, hidden_size, hidden_size, true),
      activation: 'tanh',
    },
    output: linear('classifier', hidden_size, num_labels, true),
  };
}

function albertLayer(reader: ConfigReader, at: string, sizes: Sizes): LayerSpec {
  const { hidden_size, intermediate_size, num_heads, head_dim } = sizes;
  const eps = reader.positive('layer_norm_eps', 1e-12);
  const part = (name: string) => linear(`${at}.attention.${name}`, hidden_size, hidden_size, true);
  return {
    residual: 'sequential',
    attention: plainAttention(
      { num_heads, head_dim },
      { qkv: [part('query'), part('key'), part('value')], o: part('dense') },
    ),
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu_new'),
      up: linear(`${at}.ffn`, hidden_size, intermediate_size, true),
      down: linear(`${at}.ffn_output`, intermediate_size, hidden_size, true),
    },
    norms: {
      ...NO_NORMS,
      after_attention: layerNorm(`${at}.attention.LayerNorm`, hidden_size, eps),
      after_mlp: layerNorm(`${at}.full_layer_layer_norm`, hidden_size, eps),
    },
  };
}

/** A few groups of layers, each of which is used several times in turn. */
function albertLayers(reader: ConfigReader, body: string, sizes: Sizes): LayerSpec[] {
  const groups = reader.count('num_hidden_groups', 1, sizes.num_layers);
  const inner = reader.count('inner_group_num', 1, 64);
  const layers = Array.from({ length: groups }, (_, group) =>
    Array.from({ length: inner }, (_, i) =>
      albertLayer(reader, `${body}encoder.albert_layer_groups.${group}.albert_layers.${i}`, sizes),
    ),
  );
  const places = Array.from({ length: sizes.num_layers }, (_, i) => i);
  return places.flatMap((i) => layers[Math.floor(i / (sizes.num_layers / groups))]!);
}

/** The id of MPNet's padding, whatever pad_token_id says. */
const MPNET_PADDING = 1;

/** Whatever its config says of them. */
const MPNET_BUCKETS = { buckets: 32, max_distance: 128, bidirectional: true } as const;

function mpnetLayer(reader: ConfigReader, body: string, sizes: Sizes, i: number): LayerSpec {
  const { hidden_size, num_heads } = sizes;
  const layer = bertLayer(reader, body, sizes, i);
  const at = `${body}encoder.layer.${i}.attention`;
  const part = (name: string) => linear(`${at}.attn.${name}`, hidden_size, hidden_size, true);
  const eps = reader.positive('layer_norm_eps', 1e-12);
  return {
    ...layer,
    attention: {
      ...layer.attention,
      qkv: [part('q'), part('k'), part('v')],
      o: part('o'),
      score_bias: {
        path: `${body}encoder.relative_attention_bias`,
        rows: reader.count('relative_attention_num_buckets', 32),
        heads: num_heads,
        ...MPNET_BUCKETS,
      },
    },
    norms: { ...layer.norms, after_attention: layerNorm(`${at}.LayerNorm`, hidden_size, eps) },
  };
}

/** Encoders with the parts of BERT's, in other places or used several times. */
export const bertRelatives: Readonly<Record<string, Family>> = {
  'xlm-roberta': {
    ...encoder({
      prefix: 'roberta.',
      head: robertaHead,
      layers: eachLayer(bertLayer),
      embedding: robertaEmbedding,
    }),
    gguf: xlmRobertaGguf,
    transformersClass: 'XLMRoberta',
  },
  electra: {
    ...encoder({
      prefix: 'electra.',
      head: electraHead,
      layers: eachLayer(bertLayer),
      embedding: electraEmbedding,
    }),
    transformersClass: 'Electra',
  },
  mpnet: {
    ...encoder({
      prefix: 'mpnet.',
      head: robertaHead,
      layers: eachLayer(mpnetLayer),
      embedding: (reader, prefix, { hidden_size: width, vocab_size }) => ({
        ...bertEmbedding(reader, prefix, { width, vocab_size }, MPNET_PADDING),
        types: null,
      }),
    }),
    transformersClass: 'MPNet',
  },
  albert: {
    ...encoder({
      prefix: 'albert.',
      head: albertHead,
      layers: albertLayers,
      embedding: (reader, prefix, sizes) =>
        projectedEmbedding(reader, prefix, sizes, 'encoder.embedding_hidden_mapping_in'),
    }),
    transformersClass: 'Albert',
  },
};
