import type { RopeScaling, RopeSpec } from '../../formats/architecture/spec';

type Yarn = Extract<RopeScaling, { kind: 'yarn' }>;
type Llama3 = Extract<RopeScaling, { kind: 'llama3' }>;

/**
 * Angle per position of each rotated pair [rotary_dim / 2], for a row of `length` tokens (dynamic
 * and longrope go by it). Formulas as in transformers.
 */
export function inverseFrequencies(
  { theta, rotary_dim, scaling }: RopeSpec,
  length: number,
): Float32Array {
  const plain = (base: number) =>
    Float32Array.from(
      { length: rotary_dim / 2 },
      (_, i) => 1 / Math.fround(Math.pow(base, (2 * i) / rotary_dim)),
    );
  switch (scaling.kind) {
    case 'default':
      return plain(theta);
    case 'linear':
      return plain(theta).map((f) => f / scaling.factor);
    case 'dynamic':
      return plain(dynamicBase(theta, rotary_dim, scaling, length));
    case 'llama3':
      return plain(theta).map((f) => llama3Frequency(f, scaling));
    case 'yarn':
      return yarnFrequencies(plain(theta), theta, rotary_dim, scaling);
    case 'longrope': {
      const factors =
        length > scaling.original_max_position_embeddings
          ? scaling.long_factor
          : scaling.short_factor;
      return Float32Array.from(
        { length: rotary_dim / 2 },
        (_, i) =>
          1 /
          Math.fround(
            Math.fround(factors[i] ?? 1) * Math.fround(Math.pow(theta, (2 * i) / rotary_dim)),
          ),
      );
    }
  }
}

/** What cosines and sines are multiplied with. */
export const rotaryScale = ({ scaling }: RopeSpec): number =>
  scaling.kind === 'yarn' || scaling.kind === 'longrope' ? scaling.attention_factor : 1;

/** NTK-aware: the base grows with the length. */
function dynamicBase(
  theta: number,
  dim: number,
  { factor, max_position_embeddings }: Extract<RopeScaling, { kind: 'dynamic' }>,
  length: number,
): number {
  const reach = Math.max(length, max_position_embeddings);
  return (
    theta * Math.pow((factor * reach) / max_position_embeddings - (factor - 1), dim / (dim - 2))
  );
}

/** Meta's reference (llama_models, apply_scaling). */
function llama3Frequency(
  frequency: number,
  { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }: Llama3,
): number {
  const turns = (original_max_position_embeddings * frequency) / (2 * Math.PI);
  if (turns > high_freq_factor) return frequency;
  if (turns < low_freq_factor) return frequency / factor;
  const smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/**
 * YaRN (Peng et al. 2023): pairs that turn often in the original context stay, those that turn
 * rarely are stretched, between them a ramp.
 */
function yarnFrequencies(
  plain: Float32Array,
  theta: number,
  dim: number,
  { factor, beta_fast, beta_slow, truncate, original_max_position_embeddings }: Yarn,
): Float32Array {
  const pairTurning = (turns: number) =>
    (dim * Math.log(original_max_position_embeddings / (turns * 2 * Math.PI))) /
    (2 * Math.log(theta));
  const [first, last] = [pairTurning(beta_fast), pairTurning(beta_slow)];
  const low = Math.max(0, truncate ? Math.floor(first) : first);
  const high = Math.min(dim - 1, truncate ? Math.ceil(last) : last);
  const width = high === low ? 0.001 : high - low;
  return plain.map((f, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / width));
    return (f / factor) * stretched + f * (1 - stretched);
  });
}

/**
 * Head counts of a fused row [num_heads · q, num_kv_heads · k, num_kv_heads · v], each head_dim
 * wide.
 */
export interface HeadLayout {
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
}

/**
 * Complex factors for `Ops.rotate` on rows of q, k and v whose rotary pairs lie side by side:
 * factor · e^(i·position·frequency) for k, the same times `scale` (attention's) for q, 1 for v.
 * [positions, num_heads + 2·num_kv_heads, head_dim / 2, 2]
 */
export function buildRotaryTable(
  rope: RopeSpec,
  layout: HeadLayout,
  scale: number,
  positions: ArrayLike<number>,
  length: number,
  direction: 1 | -1,
): Float32Array {
  const frequencies = inverseFrequencies(rope, length);
  const factor = rotaryScale(rope);
  const { num_heads, num_kv_heads, head_dim } = layout;
  const [heads, pairs] = [num_heads + 2 * num_kv_heads, head_dim / 2];
  const table = new Float32Array(positions.length * heads * head_dim);
  for (let t = 0; t < positions.length; t++) {
    for (let i = 0; i < pairs; i++) {
      const angle = i < frequencies.length ? Math.fround(positions[t]! * frequencies[i]!) : 0;
      const size = i < frequencies.length ? factor : 1;
      const [cos, sin] = [size * Math.cos(angle), direction * size * Math.sin(angle)];
      for (let head = 0; head < heads; head++) {
        const at = (t * heads + head) * head_dim + 2 * i;
        const own = head < num_heads ? scale : 1;
        const rotates = head < num_heads + num_kv_heads;
        table[at] = rotates ? cos * own : 1;
        table[at + 1] = rotates ? sin * own : 0;
      }
    }
  }
  return table;
}

/**
 * Old row of each new row when the two halves of the rotated part of every head are interleaved: 0,
 * d/2, 1, d/2 + 1, …; the rest stays.
 */
export function interleavedRows(rows: number, head_dim: number, rotary_dim: number): Int32Array {
  return Int32Array.from({ length: rows }, (_, row) => {
    const within = row % head_dim;
    return within < rotary_dim
      ? row - within + (within >> 1) + (within & 1) * (rotary_dim / 2)
      : row;
  });
}
