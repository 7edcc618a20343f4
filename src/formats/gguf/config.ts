import { LoraError } from '../../shared/errors';
import type { GgufFamily } from './family';
import type { Metadata } from './metadata';

/** What the config takes from the tensors. */
interface TensorFacts {
  readonly has: (tensor: string) => boolean;
  readonly vocab_size: number;
  readonly rope_factors: RopeFactors;
}

/**
 * Divisors of the RoPE frequencies: of llama3 scaling, or of longrope for long and short inputs.
 */
interface RopeFactors {
  readonly freqs: Float32Array | null;
  readonly long: Float32Array | null;
  readonly short: Float32Array | null;
}

/**
 * The config.json of the original checkpoint, from the metadata.
 *
 * @throws LoraError('base') naming the key that is missing, wrong or not supported.
 */
export function ggufConfig(
  metadata: Metadata,
  family: GgufFamily,
  { has, vocab_size, rope_factors }: TensorFacts,
): Record<string, unknown> {
  const arch = metadata.string('general.architecture');
  const at = (key: string, missing?: number) => metadata.number(`${arch}.${key}`, missing);
  const refuse = (what: string, key: string) =>
    new LoraError('base', `The model ${what}, which is not supported.`, {
      place: { file: metadata.file, key },
    });
  if (!family.experts && at('expert_count', 0) > 0)
    throw refuse('is a mixture of experts', `${arch}.expert_count`);
  const hidden_size = at('embedding_length');
  const num_attention_heads = at('attention.head_count');
  const hasPartialRotary = family.partial_rotary;
  const perHead = hidden_size / num_attention_heads;
  const head_dim = at(
    'attention.key_length',
    hasPartialRotary ? perHead : at('rope.dimension_count', perHead),
  );
  const rotary = at('rope.dimension_count', head_dim);
  if (rotary !== head_dim && !hasPartialRotary)
    throw refuse(
      `rotates only ${rotary} of the ${head_dim} dimensions of a head`,
      `${arch}.rope.dimension_count`,
    );
  const rope_parameters = family.whole_rope?.(metadata, rope_factors.freqs) ?? {
    ...commonRope(metadata, { family, head_dim }, rope_factors),
    partial_rotary_factor: rotary / head_dim,
  };
  return {
    model_type: family.model_type,
    hidden_size,
    intermediate_size: firstNumber(metadata, `${arch}.feed_forward_length`),
    num_hidden_layers: at('block_count') - (family.extra_layers?.(metadata) ?? 0),
    num_attention_heads,
    num_key_value_heads: keyHeads(metadata, arch, num_attention_heads),
    head_dim,
    max_position_embeddings: at('context_length'),
    rms_norm_eps: metadata.decimal(`${arch}.attention.layer_norm_rms_epsilon`, 1e-6),
    rope_parameters,
    tie_word_embeddings: !has('output.weight'),
    vocab_size,
    pad_token_id: metadata.has(PADDING) ? metadata.number(PADDING) : null,
    ...family.config(metadata, has, vocab_size),
  };
}

const PADDING = 'tokenizer.ggml.padding_token_id';

/** A number, or the first of a list with one for each layer: the tensors' shapes are checked. */
const firstNumber = (metadata: Metadata, key: string): number =>
  metadata.isList(key) ? (metadata.numbers(key)[0] ?? 0) : metadata.number(key);

/** The number of the layers that have some; layers without attention have 0. */
function keyHeads(metadata: Metadata, arch: string, missing: number): number {
  const key = `${arch}.attention.head_count_kv`;
  if (!metadata.isList(key)) return metadata.number(key, missing);
  return metadata.numbers(key).reduce((most, heads) => Math.max(most, heads), 0);
}

function commonRope(
  metadata: Metadata,
  model: { readonly family: GgufFamily; readonly head_dim: number },
  factors: RopeFactors,
): Record<string, unknown> {
  const rope = ropeParameters(metadata, model, factors);
  return { ...(model.family.rope?.(metadata, rope) ?? rope) };
}

function ropeParameters(
  metadata: Metadata,
  { family, head_dim }: { readonly family: GgufFamily; readonly head_dim: number },
  { freqs, long, short }: RopeFactors,
): Record<string, unknown> {
  const { arch } = family;
  const rope_theta = metadata.number(`${arch}.rope.freq_base`, 10_000);
  const scaling = (key: string, missing?: number) =>
    metadata.number(`${arch}.rope.scaling.${key}`, missing);
  if (freqs) return { rope_theta, ...llama3Scaling(freqs, rope_theta, head_dim, metadata.file) };
  if (long && short) {
    const gain = scaling('attn_factor', 0);
    return {
      rope_theta,
      rope_type: 'longrope',
      long_factor: [...long],
      short_factor: [...short],
      original_max_position_embeddings: scaling('original_context_length'),
      ...(gain > 0 && { attention_factor: gain }),
    };
  }
  const older = metadata.number(`${arch}.rope.scale_linear`, 1);
  const rope_type = metadata.string(`${arch}.rope.scaling.type`, older === 1 ? 'none' : 'linear');
  if (rope_type === 'none') return { rope_theta, rope_type: 'default' };
  const factor = scaling('factor', older);
  return rope_type === 'yarn'
    ? { rope_theta, rope_type, factor, ...yarnScaling(metadata, family) }
    : { rope_theta, rope_type, factor };
}

/** YaRN's own factor of the attention scores, which llama.cpp multiplies by the file's. */
const ownFactor = (metadata: Metadata, at: string): number =>
  0.1 * Math.log(Math.max(1, metadata.number(`${at}.factor`, 1))) + 1;

/** transformers' YaRN lacks llama.cpp's additional factors. */
function yarnScaling(
  metadata: Metadata,
  { arch, yarn_keys = [] }: GgufFamily,
): Record<string, unknown> {
  const at = `${arch}.rope.scaling`;
  for (const [key, neutral] of [
    ['yarn_ext_factor', 1],
    ['yarn_attn_factor', 1],
    ['yarn_log_multiplier', 0],
  ] as const) {
    if (yarn_keys.includes(key)) continue;
    if (Math.abs(metadata.number(`${at}.${key}`, neutral) - neutral) < 1e-6) continue;
    throw new LoraError('base', `The model's RoPE scaling sets ${key}, which is not supported.`, {
      place: { file: metadata.file, key: `${at}.${key}` },
      fix: "Use the model's safetensors folder.",
    });
  }
  const gain = metadata.decimal(`${at}.attn_factor`, 1);
  return {
    ...(gain !== 1 && { attention_factor: gain * ownFactor(metadata, at) }),
    original_max_position_embeddings: metadata.number(`${at}.original_context_length`),
    beta_fast: metadata.number(`${at}.yarn_beta_fast`, 32),
    beta_slow: metadata.number(`${at}.yarn_beta_slow`, 1),
  };
}

/**
 * llama3 RoPE scaling: GGUF files only hold its divisors of the frequencies
 * (convert_hf_to_gguf.py).
 */
const LLAMA3 = { rope_type: 'llama3', low_freq_factor: 1, high_freq_factor: 4 } as const;
/** 8192 in Llama 3.1 and later; else the one that results in the stored divisors. */
const ORIGINAL_LENGTHS = [8192, ...Array.from({ length: 16 }, (_, i) => 2 ** (i + 4))];

function llama3Scaling(
  factors: Float32Array,
  rope_theta: number,
  head_dim: number,
  file: string,
): Record<string, unknown> {
  const factor = factors.reduce((a, b) => Math.max(a, b), 1);
  const original_max_position_embeddings =
    factors.length === head_dim / 2
      ? ORIGINAL_LENGTHS.find((length) => resultsIn(factors, rope_theta, factor, length))
      : undefined;
  if (original_max_position_embeddings !== undefined)
    return { ...LLAMA3, factor, original_max_position_embeddings };
  throw new LoraError('base', 'The file has RoPE factors of an unknown kind.', {
    place: { file, tensor: 'rope_freqs.weight' },
    fix: "Use the model's safetensors folder.",
  });
}

function resultsIn(
  factors: Float32Array,
  rope_theta: number,
  factor: number,
  length: number,
): boolean {
  const { low_freq_factor: low, high_freq_factor: high } = LLAMA3;
  return factors.every((stored, i) => {
    const rotations = (length * Math.pow(rope_theta, -i / factors.length)) / (2 * Math.PI);
    const smooth = Math.min(1, Math.max(0, (rotations - low) / (high - low)));
    return Math.abs(stored - 1 / ((1 - smooth) / factor + smooth)) <= 1e-4 * stored;
  });
}
