import type { GgufFamily } from '../../gguf/family';
import type { ConfigReader } from '../config';
import type { Family } from '../family';
import { linear, MAX_LAYERS, NO_NORMS, rmsNorm } from '../sizes';
import type { Activation, CrossAttentionSpec, LayerSpec, MlpSpec, NormSpec, Spec } from '../spec';

interface T5Sizes {
  readonly d_model: number;
  readonly d_kv: number;
  readonly d_ff: number;
  readonly num_heads: number;
  readonly eps: number;
}

type Stack = 'encoder' | 'decoder';

/** feed_forward_proj, of which gelu means its approximation only beside a gate. */
const FEED_FORWARDS: Readonly<Record<string, { gated: boolean; activation: Activation }>> = {
  relu: { gated: false, activation: 'relu' },
  gelu: { gated: false, activation: 'gelu' },
  gelu_new: { gated: false, activation: 'gelu_tanh' },
  silu: { gated: false, activation: 'silu' },
  'gated-gelu': { gated: true, activation: 'gelu_tanh' },
  'gated-relu': { gated: true, activation: 'relu' },
  'gated-silu': { gated: true, activation: 'silu' },
};

const readSizes = (reader: ConfigReader): T5Sizes => ({
  d_model: reader.count('d_model'),
  d_kv: reader.count('d_kv'),
  d_ff: reader.count('d_ff'),
  num_heads: reader.count('num_heads'),
  eps: reader.positive('layer_norm_epsilon', 1e-6),
});

const normOf = (path: string, { d_model, eps }: T5Sizes): NormSpec => rmsNorm(path, d_model, eps);

function attentionParts(at: string, { d_model, d_kv, num_heads }: T5Sizes) {
  const inner = num_heads * d_kv;
  const part = (name: string) => linear(`${at}.${name}`, d_model, inner);
  return {
    q: part('q'),
    k: part('k'),
    v: part('v'),
    o: linear(`${at}.o`, inner, d_model),
  };
}

/** All layers of a stack have the biases of the first one. */
function selfAttention(
  reader: ConfigReader,
  stack: Stack,
  at: string,
  sizes: T5Sizes,
): LayerSpec['attention'] {
  const { num_heads, d_kv } = sizes;
  const { q, k, v, o } = attentionParts(`${at}.SelfAttention`, sizes);
  const buckets = reader.count('relative_attention_num_buckets', 32, 65_536, 4);
  return {
    num_heads,
    num_kv_heads: num_heads,
    head_dim: d_kv,
    layout: 'separate',
    qkv: [q, k, v],
    o,
    qk_norm: null,
    rope: null,
    scale: 1,
    window: null,
    softcap: null,
    score_bias: {
      path: `${stack}.block.0.layer.0.SelfAttention.relative_attention_bias`,
      rows: buckets,
      heads: num_heads,
      buckets,
      max_distance: reader.count('relative_attention_max_distance', 128, undefined, buckets),
      bidirectional: stack === 'encoder',
    },
  };
}

const crossAttention = (at: string, sizes: T5Sizes): CrossAttentionSpec => ({
  num_heads: sizes.num_heads,
  head_dim: sizes.d_kv,
  norm_in: normOf(`${at}.layer_norm`, sizes),
  ...attentionParts(`${at}.EncDecAttention`, sizes),
});

function feedForward(reader: ConfigReader, at: string, missing: string, sizes: T5Sizes): MlpSpec {
  const { d_model, d_ff } = sizes;
  const { gated, activation } = reader.choice('feed_forward_proj', FEED_FORWARDS, missing);
  const inner = (name: string) => linear(`${at}.DenseReluDense.${name}`, d_model, d_ff);
  const down = linear(`${at}.DenseReluDense.wo`, d_ff, d_model);
  return gated
    ? { kind: 'gated', activation, gate: inner('wi_0'), up: inner('wi_1'), down }
    : { kind: 'plain', activation, up: inner('wi'), down };
}

/** How the two families differ. */
interface Variant {
  /** feed_forward_proj where the config has none. */
  readonly feed_forward: string;
  /** Whether the decoder's output is multiplied by 1 / √d_model. */
  readonly scales: (reader: ConfigReader) => boolean;
}

function layerOf(reader: ConfigReader, variant: Variant, stack: Stack, i: number): LayerSpec {
  const sizes = readSizes(reader);
  const at = `${stack}.block.${i}.layer`;
  const mlp = stack === 'encoder' ? `${at}.1` : `${at}.2`;
  return {
    residual: 'sequential',
    attention: selfAttention(reader, stack, `${at}.0`, sizes),
    ...(stack === 'decoder' && { cross: crossAttention(`${at}.1`, sizes) }),
    mlp: feedForward(reader, mlp, variant.feed_forward, sizes),
    norms: {
      ...NO_NORMS,
      attention_in: normOf(`${at}.0.layer_norm`, sizes),
      mlp_in: normOf(`${mlp}.layer_norm`, sizes),
    },
  };
}

function stackOf(
  reader: ConfigReader,
  variant: Variant,
  stack: Stack,
  num_layers: number,
): Omit<Spec, 'head'> {
  const sizes = readSizes(reader);
  const vocab_size = reader.count('vocab_size');
  return {
    family: String(reader.config['model_type']),
    task: 'seq2seq_lm',
    hidden_size: sizes.d_model,
    vocab_size,
    num_layers,
    causal: stack === 'decoder',
    embedding: {
      kind: 'tokens',
      tokens: { path: 'shared', rows: vocab_size },
      scale: 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, variant, stack, i)),
    final_norm: normOf(`${stack}.final_layer_norm`, sizes),
  };
}

const specOf =
  (variant: Variant) =>
  (reader: ConfigReader): Spec => {
    const { d_model } = readSizes(reader);
    const num_layers = reader.count('num_layers', undefined, MAX_LAYERS);
    const decoder_layers = reader.count('num_decoder_layers', num_layers, MAX_LAYERS);
    const decoder = stackOf(reader, variant, 'decoder', decoder_layers);
    const encoder = stackOf(reader, variant, 'encoder', num_layers);
    const start_id = reader.whole('decoder_start_token_id', reader.whole('pad_token_id', 0));
    if (start_id >= decoder.vocab_size)
      throw reader.bad('decoder_start_token_id', `must be below vocab_size, not ${start_id}`);
    return {
      ...decoder,
      unused_modules: ['decoder.block.0.layer.1.EncDecAttention.relative_attention_bias'],
      source: { encoder: { ...encoder, head: { kind: 'none' } }, start_id },
      head: {
        kind: 'lm',
        output: linear('lm_head', d_model, decoder.vocab_size),
        tied: true,
        prefers_stored: true,
        softcap: null,
        ...(variant.scales(reader) && { scale: d_model ** -0.5 }),
      },
    };
  };

/**
 * transformers 5 writes whether T5 scales. Older configs say so by tie_word_embeddings, which is
 * false from T5 1.1 on.
 */
const scalesTied = (reader: ConfigReader): boolean =>
  reader.flag('scale_decoder_outputs', reader.flag('tie_word_embeddings', true));

type Parts = readonly (readonly [gguf: string, checkpoint: string])[];

const partsOf = (mlp: string, isGated: boolean): Parts => [
  ['attn_norm', 'layer.0.layer_norm'],
  ['attn_q', 'layer.0.SelfAttention.q'],
  ['attn_k', 'layer.0.SelfAttention.k'],
  ['attn_v', 'layer.0.SelfAttention.v'],
  ['attn_o', 'layer.0.SelfAttention.o'],
  ['attn_rel_b', 'layer.0.SelfAttention.relative_attention_bias'],
  ['ffn_norm', `${mlp}.layer_norm`],
  ...(isGated ? [['ffn_gate', `${mlp}.DenseReluDense.wi_0`] as const] : []),
  ['ffn_up', `${mlp}.DenseReluDense.${isGated ? 'wi_1' : 'wi'}`],
  ['ffn_down', `${mlp}.DenseReluDense.wo`],
];

const CROSS_PARTS: Parts = [
  ['cross_attn_norm', 'layer.1.layer_norm'],
  ['cross_attn_q', 'layer.1.EncDecAttention.q'],
  ['cross_attn_k', 'layer.1.EncDecAttention.k'],
  ['cross_attn_v', 'layer.1.EncDecAttention.v'],
  ['cross_attn_o', 'layer.1.EncDecAttention.o'],
  ['cross_attn_rel_b', 'layer.1.EncDecAttention.relative_attention_bias'],
];

/** llama.cpp has no other one. */
const GGUF_MAX_DISTANCE = 128;

/** Models with gates are T5 1.1 or mT5, which do not scale; those without are the first T5. */
const ggufOf = (isGated: boolean): GgufFamily => ({
  arch: 't5',
  model_type: 't5',
  top: new Map([
    ['token_embd.weight', 'shared.weight'],
    ['enc.output_norm.weight', 'encoder.final_layer_norm.weight'],
    ['dec.output_norm.weight', 'decoder.final_layer_norm.weight'],
    ['output.weight', 'lm_head.weight'],
  ]),
  prefix: 'enc.blk',
  layers: 'encoder.block',
  parts: new Map(partsOf('layer.1', isGated)),
  more_layers: [
    {
      prefix: 'dec.blk',
      layers: 'decoder.block',
      parts: new Map([...partsOf('layer.2', isGated), ...CROSS_PARTS]),
    },
  ],
  ...(isGated && { without_gates: ggufOf(false) }),
  partial_rotary: false,
  storage: () => 'plain',
  config: (metadata) => {
    const at = (key: string, missing?: number) => metadata.number(`t5.${key}`, missing);
    const num_layers = at('block_count');
    return {
      d_model: at('embedding_length'),
      d_kv: at('attention.key_length'),
      d_ff: at('feed_forward_length'),
      num_heads: at('attention.head_count'),
      num_layers,
      num_decoder_layers: at('decoder_block_count', num_layers),
      layer_norm_epsilon: metadata.decimal('t5.attention.layer_norm_rms_epsilon', 1e-6),
      relative_attention_num_buckets: at('attention.relative_buckets_count'),
      relative_attention_max_distance: GGUF_MAX_DISTANCE,
      decoder_start_token_id: at('decoder_start_token_id', 0),
      feed_forward_proj: isGated ? 'gated-gelu' : 'relu',
      scale_decoder_outputs: !isGated,
      is_encoder_decoder: true,
    };
  },
});

const COMMON = {
  tasks: ['seq2seq_lm'],
  renames: [[/^(?:encoder|decoder)\.embed_tokens\.weight$/, null]],
  mlx: false,
  gguf: ggufOf(true),
} as const satisfies Partial<Family>;

export const t5Families: Readonly<Record<string, Family>> = {
  t5: {
    ...COMMON,
    spec: specOf({ feed_forward: 'relu', scales: scalesTied }),
    transformersClass: 'T5',
  },
  mt5: {
    ...COMMON,
    spec: specOf({ feed_forward: 'gated-gelu', scales: () => false }),
    transformersClass: 'MT5',
  },
};
