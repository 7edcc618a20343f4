import type { ConfigReader } from './config';
import type { Activation, AttentionSpec, LinearSpec, NormSpec, TableSpec } from './spec';

/** Keeps a forged config from causing an endless list of names. */
export const MAX_LAYERS = 4096;

/** The sizes of a transformer. */
export interface Sizes {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly num_layers: number;
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
}

/**
 * The sizes that all configs have, under any of their names; `missing_head_dim`: the family's
 * head_dim where the config has none.
 *
 * @throws LoraError('base') naming the key.
 */
export function readSizes(
  reader: ConfigReader,
  reads: 'tokens' | 'images' = 'tokens',
  missing_head_dim?: number,
): Sizes {
  const hidden_size = reader.count(['hidden_size', 'n_embd', 'dim']);
  const num_heads = reader.count(['num_attention_heads', 'n_head', 'n_heads']);
  const num_kv_heads = reader.count('num_key_value_heads', num_heads);
  const given_head_dim = reader.raw('head_dim') ?? missing_head_dim;
  if (given_head_dim === undefined && hidden_size % num_heads !== 0) {
    throw reader.bad(
      'num_attention_heads',
      `${num_heads} does not divide hidden_size = ${hidden_size}, and there is no head_dim`,
    );
  }
  if (num_heads % num_kv_heads !== 0)
    throw reader.bad(
      'num_key_value_heads',
      `${num_kv_heads} does not divide num_attention_heads = ${num_heads}`,
    );
  return {
    hidden_size,
    num_heads,
    num_kv_heads,
    head_dim: reader.count('head_dim', missing_head_dim ?? hidden_size / num_heads),
    intermediate_size: reader.count(
      ['intermediate_size', 'n_inner', 'hidden_dim'],
      4 * hidden_size,
    ),
    vocab_size: reads === 'tokens' ? reader.count('vocab_size') : 0,
    num_layers: reader.count(['num_hidden_layers', 'n_layer', 'n_layers'], undefined, MAX_LAYERS),
  };
}

/**
 * A table of tokens. Its row for pad_token_id has no gradient, also where padding is read as text;
 * `missing`: the family's pad_token_id where the config has none.
 */
export function tokenTable(
  { config }: ConfigReader,
  path: string,
  rows: number,
  missing: number | null = null,
): TableSpec {
  const { pad_token_id: id = missing } = config;
  if (typeof id !== 'number' || !Number.isInteger(id) || id < -rows || id >= rows)
    return { path, rows };
  return { path, rows, padding: id < 0 ? rows + id : id }; // torch counts from the end
}

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  quick_gelu: 'quick_gelu',
  relu: 'relu',
  tanh: 'tanh',
};

/** The activation of the MLPs; `missing`: the default's name. */
export const readActivation = (
  reader: ConfigReader,
  missing: string,
  keys: readonly string[] = [
    'hidden_act',
    'hidden_activation',
    'activation_function',
    'activation',
  ],
): Activation => reader.choice(keys, ACTIVATIONS, missing);

/** A linear layer with its weight stored as [out, in]. */
export const linear = (
  path: string,
  in_features: number,
  out_features: number,
  bias = false,
): LinearSpec => ({ path, in_features, out_features, bias, transposed: false });

/** An RMS norm; `unit_offset`: the weight is stored minus 1, as in Gemma. */
export const rmsNorm = (
  path: string,
  size: number,
  eps: number,
  unit_offset = false,
): NormSpec => ({ path, kind: 'rms', size, eps, unit_offset });
/** A layer norm, with a bias. */
export const layerNorm = (path: string, size: number, eps: number): NormSpec => ({
  path,
  kind: 'layer',
  size,
  eps,
  unit_offset: false,
});

/**
 * Attention of an encoder: each head has its own keys and values, without RoPE and without a
 * window.
 */
export const plainAttention = (
  { num_heads, head_dim }: Pick<Sizes, 'num_heads' | 'head_dim'>,
  layers: Pick<AttentionSpec, 'qkv' | 'o'>,
): AttentionSpec => ({
  num_heads,
  num_kv_heads: num_heads,
  head_dim,
  layout: 'separate',
  ...layers,
  qk_norm: null,
  rope: null,
  scale: 1 / Math.sqrt(head_dim),
  window: null,
  softcap: null,
});

/** A learned factor of each channel of a branch's output. */
export const layerScale = (path: string, parameter: string, size: number): NormSpec => ({
  path,
  kind: 'scale',
  size,
  eps: 0,
  unit_offset: false,
  parameter,
});

/** No norms anywhere; families add theirs. */
export const NO_NORMS = {
  attention_in: null,
  mlp_in: null,
  attention_out: null,
  mlp_out: null,
  after_attention: null,
  after_mlp: null,
} as const;
