import type { RopeScaling, RopeSpec } from '../../formats/architecture/spec';
import type { HeadLayout } from './headLayout';

// Rotary position embeddings (Su et al. 2021) and their extensions to longer contexts, computed as
// transformers computes them (modeling_rope_utils.py).

type Yarn = Extract<RopeScaling, { kind: 'yarn' }>;
type Llama3 = Extract<RopeScaling, { kind: 'llama3' }>;
type Dynamic = Extract<RopeScaling, { kind: 'dynamic' }>;
type LongRope = Extract<RopeScaling, { kind: 'longrope' }>;

/**
 * Angle per position of each rotated pair [rotary_dim / 2]. `length`: tokens of the sequence, on
 * which the frequencies of `dynamic` and `longrope` depend.
 */
export function inverseFrequencies(rope: RopeSpec, length: number): Float32Array {
  const { theta, scaling, axes } = rope;
  if (axes?.kind === 'halves') {
    const half = unscaledFrequencies({ ...rope, rotary_dim: rope.rotary_dim / 2 }, theta);
    return Float32Array.of(...half, ...half);
  }
  switch (scaling.kind) {
    case 'default':
      return unscaledFrequencies(rope, theta);
    case 'linear':
      return unscaledFrequencies(rope, theta).map((f) => f / scaling.factor);
    case 'proportional':
      return unscaledFrequencies(rope, theta).map((f, i) =>
        i < scaling.pairs ? f / scaling.factor : 0,
      );
    case 'dynamic':
      return unscaledFrequencies(rope, dynamicBase(rope, scaling, length));
    case 'llama3':
      return unscaledFrequencies(rope, theta).map((f) => llama3Frequency(f, scaling));
    case 'yarn':
      return yarnFrequencies(rope, scaling);
    case 'longrope':
      return longRopeFrequencies(rope, scaling, length);
  }
}

function unscaledFrequencies({ rotary_dim }: RopeSpec, base: number): Float32Array {
  return Float32Array.from(
    { length: rotary_dim / 2 },
    (_, i) => 1 / Math.fround(Math.pow(base, (2 * i) / rotary_dim)),
  );
}

/** What cosines and sines are multiplied by. */
export const rotaryScale = ({ scaling }: RopeSpec): number =>
  scaling.kind === 'yarn' || scaling.kind === 'longrope' ? scaling.attention_factor : 1;

/** Dynamic NTK scaling: the base grows with the length of the sequence. */
function dynamicBase(
  { theta, rotary_dim: dim }: RopeSpec,
  { factor, max_position_embeddings }: Dynamic,
  length: number,
): number {
  const longest = Math.max(length, max_position_embeddings);
  const stretch = (factor * longest) / max_position_embeddings - (factor - 1);
  return theta * Math.pow(stretch, dim / (dim - 2));
}

/** Llama 3.1: apply_scaling of Meta's llama_models. */
function llama3Frequency(
  frequency: number,
  { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }: Llama3,
): number {
  const rotations = (original_max_position_embeddings * frequency) / (2 * Math.PI);
  if (rotations > high_freq_factor) return frequency;
  if (rotations < low_freq_factor) return frequency / factor;
  const smooth = (rotations - low_freq_factor) / (high_freq_factor - low_freq_factor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/**
 * YaRN (Peng et al. 2023): pairs with many rotations within the original context keep their
 * frequency, pairs with few are interpolated, with a ramp in between.
 */
function yarnFrequencies(
  rope: RopeSpec,
  { factor, beta_fast, beta_slow, truncate, original_max_position_embeddings }: Yarn,
): Float32Array {
  const { theta, rotary_dim: dim } = rope;
  const pairWithRotations = (rotations: number) =>
    (dim * Math.log(original_max_position_embeddings / (rotations * 2 * Math.PI))) /
    (2 * Math.log(theta));
  const first = pairWithRotations(beta_fast);
  const last = pairWithRotations(beta_slow);
  const low = Math.max(0, truncate ? Math.floor(first) : first);
  const high = Math.min(dim - 1, truncate ? Math.ceil(last) : last);
  const width = high === low ? 0.001 : high - low;
  return unscaledFrequencies(rope, theta).map((f, i) => {
    const interpolated = Math.min(1, Math.max(0, (i - low) / width));
    return (f / factor) * interpolated + f * (1 - interpolated);
  });
}

/** LongRoPE (Ding et al. 2024): one factor per pair, for short and for long sequences. */
function longRopeFrequencies(
  { theta, rotary_dim }: RopeSpec,
  { short_factor, long_factor, original_max_position_embeddings }: LongRope,
  length: number,
): Float32Array {
  const factors = length > original_max_position_embeddings ? long_factor : short_factor;
  return Float32Array.from({ length: rotary_dim / 2 }, (_, i) => {
    const wavelength = Math.fround(Math.pow(theta, (2 * i) / rotary_dim));
    return 1 / Math.fround(Math.fround(factors[i] ?? 1) * wavelength);
  });
}

/** The positions of tokens, and along the height and width of the images that some belong to. */
export interface TokenPositions {
  readonly times: Int32Array;
  /** Not given: a token's are its time. */
  readonly spatial?: SpatialPositions | undefined;
}

export interface SpatialPositions {
  readonly heights: Int32Array;
  readonly widths: Int32Array;
}

/** The positions that pair i turns by (see `RopeSpec.axes`). */
function positionsOfPair(
  { axes, rotary_dim }: RopeSpec,
  { times, spatial }: TokenPositions,
  i: number,
): Int32Array {
  if (!axes || !spatial) return times;
  if (axes.kind === 'halves') return i < rotary_dim / 4 ? spatial.heights : spatial.widths;
  const [, heights, widths] = axes.sections;
  if (i % 3 === 1 && i < 3 * heights) return spatial.heights;
  return i % 3 === 2 && i < 3 * widths ? spatial.widths : times;
}

/** What `buildRotaryTable` multiplies q and k by. */
export interface RotaryTableSpec extends HeadLayout {
  readonly rope: RopeSpec;
  /** Attention's scale, which is folded into q. */
  readonly scale: number;
}

/**
 * Complex factors for `Ops.rotate` on rows of q, k and v, where the two numbers of a rotary pair
 * are neighbours: rotaryScale · e^(i · position · frequency) for k, the same times `scale` for q, 1
 * for v. [positions, num_heads + 2 · num_kv_heads, head_dim / 2, 2]
 *
 * @param direction 1 for the forward pass, -1 for its gradient.
 */
export function buildRotaryTable(
  { rope, scale, num_heads, num_kv_heads, head_dim }: RotaryTableSpec,
  positions: Int32Array | TokenPositions,
  direction: 1 | -1,
): Float32Array {
  const own = positions instanceof Int32Array ? { times: positions } : positions;
  const { times } = own;
  const length = times.reduce((most, position) => Math.max(most, position + 1), 0);
  const frequencies = inverseFrequencies(rope, length);
  const byPair = Array.from(frequencies, (_, i) => positionsOfPair(rope, own, i));
  const factor = rotaryScale(rope);
  const heads = num_heads + 2 * num_kv_heads;
  const table = new Float32Array(times.length * heads * head_dim);
  for (let t = 0; t < times.length; t++) {
    const queryScale = scale * queryGrowth(rope, times[t]!);
    for (let i = 0; i < head_dim / 2; i++) {
      const isRotated = i < frequencies.length;
      const angle = isRotated ? Math.fround(byPair[i]![t]! * frequencies[i]!) : 0;
      const size = isRotated ? factor : 1;
      const cos = size * Math.cos(angle);
      const sin = direction * size * Math.sin(angle);
      for (let head = 0; head < heads; head++) {
        const at = (t * heads + head) * head_dim + 2 * i;
        const headScale = head < num_heads ? queryScale : 1;
        const isValue = head >= num_heads + num_kv_heads;
        table[at] = isValue ? 1 : cos * headScale;
        table[at + 1] = isValue ? 0 : sin * headScale;
      }
    }
  }
  return table;
}

const queryGrowth = ({ query_growth: growth }: RopeSpec, position: number): number =>
  growth ? 1 + growth.beta * Math.log(1 + Math.floor(position / growth.length)) : 1;

/**
 * The checkpoint's row for each row of q or k, such that the two halves of the rotated part of
 * every head are interleaved: 0, d/2, 1, d/2 + 1, ... The other rows keep their place.
 */
export function interleavedRows(rows: number, head_dim: number, rotary_dim: number): Int32Array {
  return Int32Array.from({ length: rows }, (_, row) => {
    const within = row % head_dim;
    if (within >= rotary_dim) return row;
    const isSecondHalf = within & 1;
    return row - within + (within >> 1) + isSecondHalf * (rotary_dim / 2);
  });
}
