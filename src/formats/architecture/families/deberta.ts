import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { tokenHead } from '../heads';
import { layerNorm, linear, readActivation, type Sizes } from '../sizes';
import type { DistanceSpec, HeadSpec, LayerSpec, TokenEmbeddingSpec } from '../spec';
import { bertEmbedding, bertLayer, eachLayer, encoder, pooledHead } from './bert';

const EPS = 1e-7;

function head(
  { task, num_labels }: SpecOptions,
  _body: string,
  hidden_size: number,
  reader: ConfigReader,
): HeadSpec {
  if (task === 'embedding') return pooledHead(null, hidden_size);
  if (task === 'token_cls') return tokenHead('classifier', hidden_size, num_labels);
  if (reader.count('pooler_hidden_size', hidden_size) !== hidden_size)
    throw reader.bad('pooler_hidden_size', `must be hidden_size, ${hidden_size}`);
  return {
    kind: 'labels',
    pool: 'first',
    dense: {
      linear: linear('pooler.dense', hidden_size, hidden_size, true),
      activation: readActivation(reader, 'gelu', ['pooler_hidden_act']),
    },
    output: linear('classifier', hidden_size, num_labels, true),
  };
}

function embedding(
  reader: ConfigReader,
  prefix: string,
  { hidden_size: width, vocab_size }: Sizes,
): TokenEmbeddingSpec {
  if (reader.count('embedding_size', width) !== width)
    throw reader.bad('embedding_size', `must be hidden_size, ${width}: no other is supported`);
  const tables = bertEmbedding(reader, prefix, { width, vocab_size });
  return {
    ...tables,
    positions: reader.flag('position_biased_input', true) ? tables.positions : null,
    types: reader.raw('type_vocab_size') === undefined ? null : tables.types,
    norm: layerNorm(`${prefix}embeddings.LayerNorm`, width, reader.positive('layer_norm_eps', EPS)),
  };
}

/** Which products with distances the scores have: a list, or names between |. */
function productsOf(reader: ConfigReader): ReadonlySet<string> {
  const value = reader.raw('pos_att_type') ?? [];
  const types: unknown = typeof value === 'string' ? value.toLowerCase().split('|') : value;
  const names = Array.isArray(types)
    ? types.map((type: unknown) => (typeof type === 'string' ? type.trim() : null))
    : [null];
  const isKnown = (name: string | null) => name === 'c2p' || name === 'p2c';
  if (names.every(isKnown)) return new Set(names.map(String));
  throw reader.bad('pos_att_type', `must name c2p and p2c, not ${JSON.stringify(value)}`);
}

/** The largest distance that the config names; max_position_embeddings where it names none. */
function longestDistance(reader: ConfigReader): number {
  const given = reader.raw('max_relative_positions');
  const isGiven = given !== undefined && !(typeof given === 'number' && given < 1);
  return isGiven
    ? reader.count('max_relative_positions')
    : reader.count('max_position_embeddings', 512);
}

interface DistanceOptions {
  readonly body: string;
  /** Path of the attention. */
  readonly at: string;
  readonly sizes: Sizes;
}

function distancesOf(
  reader: ConfigReader,
  { body, at, sizes: { hidden_size, num_heads, head_dim } }: DistanceOptions,
): DistanceSpec {
  const products = productsOf(reader);
  const [c2p, p2c] = [products.has('c2p'), products.has('p2c')];
  const max_distance = longestDistance(reader);
  const given = reader.raw('position_buckets');
  const buckets = typeof given === 'number' && given > 0 ? reader.count('position_buckets') : 0;
  const span = buckets > 0 ? buckets : max_distance;
  const isShared = reader.flag('share_att_key');
  const width = num_heads * head_dim;
  const norms = reader.raw('norm_rel_ebd');
  return {
    table: { path: `${body}encoder.rel_embeddings`, rows: 2 * span },
    norm:
      typeof norms === 'string' && norms.toLowerCase().includes('layer_norm')
        ? layerNorm(`${body}encoder.LayerNorm`, hidden_size, reader.positive('layer_norm_eps', EPS))
        : null,
    span,
    buckets,
    max_distance,
    c2p,
    p2c,
    key: c2p && !isShared ? linear(`${at}.pos_key_proj`, hidden_size, width, true) : null,
    query: p2c && !isShared ? linear(`${at}.pos_query_proj`, hidden_size, width, true) : null,
  };
}

function layerOf(reader: ConfigReader, body: string, sizes: Sizes, i: number): LayerSpec {
  if (reader.whole('conv_kernel_size', 0) > 0)
    throw reader.bad('conv_kernel_size', 'is above 0: its convolution is not supported');
  const { hidden_size, num_heads, head_dim } = sizes;
  const layer = `${body}encoder.layer.${i}`;
  const at = `${layer}.attention.self`;
  const part = (name: string) => linear(`${at}.${name}`, hidden_size, num_heads * head_dim, true);
  const plain = bertLayer(reader, body, sizes, i);
  const eps = reader.positive('layer_norm_eps', EPS);
  return {
    ...plain,
    attention: {
      ...plain.attention,
      qkv: [part('query_proj'), part('key_proj'), part('value_proj')],
      scale: 1 / Math.sqrt(head_dim * (1 + productsOf(reader).size)),
      ...(reader.flag('relative_attention') && {
        distances: distancesOf(reader, { body, at, sizes }),
      }),
    },
    norms: {
      ...plain.norms,
      after_attention: layerNorm(`${layer}.attention.output.LayerNorm`, hidden_size, eps),
      after_mlp: layerNorm(`${layer}.output.LayerNorm`, hidden_size, eps),
    },
  };
}

export const debertaFamilies: Readonly<Record<string, Family>> = {
  'deberta-v2': {
    ...encoder({ prefix: 'deberta.', head, layers: eachLayer(layerOf), embedding }),
    transformersClass: 'DebertaV2',
  },
};
