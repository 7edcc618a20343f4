import { createRandom } from '../shared/random';
import type { Adapter, AdapterConfig, LoraFactors } from './adapter';
import { topTriplets } from './linalg/lanczos';
import { thinQr } from './linalg/thinQr';

type StartFactors = Pick<LoraFactors, 'A' | 'B'>;

/**
 * A and B that start from a part of the weight W [out, in].
 *
 * - `pissa` (Meng et al. 2024): the first r singular triplets, √(S/s) on both sides, so that s·BA
 *   is the best approximation of W of rank r.
 * - `olora` (Büyükakyüz 2024): A = R[:r], B = Q[:, :r] of W = QR.
 *
 * Where r is larger than a side of W, the rest of A and B is zero.
 */
export function startFromWeight(
  kind: 'pissa' | 'olora',
  weight: Float32Array,
  factors: LoraFactors,
): StartFactors {
  return kind === 'olora' ? startOlora(weight, factors) : startPissa(weight, factors);
}

function startOlora(
  data: Float32Array,
  { r, in_features, out_features }: LoraFactors,
): StartFactors {
  const count = Math.min(r, in_features, out_features);
  const { Q, R } = thinQr({ data, rows: out_features, columns: in_features }, count);
  const A = new Float32Array(r * in_features);
  A.set(R);
  const B = new Float32Array(out_features * r);
  for (let o = 0; o < out_features; o++) {
    for (let k = 0; k < count; k++) B[o * r + k] = Q[o * count + k]!;
  }
  return { A, B };
}

function startPissa(
  data: Float32Array,
  { path, r, in_features, out_features, scaling }: LoraFactors,
): StartFactors {
  const count = Math.min(r, in_features, out_features);
  const matrix = { data, rows: out_features, columns: in_features };
  const { U, S, V } = topTriplets(matrix, count, createRandom(0, 'svd', path));
  const A = new Float32Array(r * in_features);
  const B = new Float32Array(out_features * r);
  for (let k = 0; k < count; k++) {
    const root = Math.sqrt(S[k]! / scaling);
    for (let i = 0; i < in_features; i++) A[k * in_features + i] = root * V[k * in_features + i]!;
    for (let o = 0; o < out_features; o++) B[o * r + k] = root * U[k * out_features + o]!;
  }
  return { A, B };
}

/**
 * The adapter for the unchanged base, of an adapter that trained beside `correction`: s(BA - B0 A0)
 * with twice the rank, [B | -B0] [A; A0], as PEFT converts when it saves.
 *
 * @param correction Holds A0 and -B0: what the training subtracted from the base's weights.
 */
export function convertToPlain(trained: Adapter, correction: Adapter): Adapter {
  const corrections = new Map(correction.modules.map((m) => [m.path, m]));
  return {
    ...trained,
    config: withTwiceTheRank(trained.config),
    modules: trained.modules.map((m) => {
      const own = corrections.get(m.path);
      return own ? concatenate(m, own) : m;
    }),
  };
}

function concatenate(m: LoraFactors, correction: LoraFactors): LoraFactors {
  const { r, in_features, out_features } = m;
  const A = new Float32Array(2 * r * in_features);
  A.set(m.A);
  A.set(correction.A, r * in_features);
  const B = new Float32Array(out_features * 2 * r);
  for (let o = 0; o < out_features; o++) {
    B.set(m.B.subarray(o * r, (o + 1) * r), o * 2 * r);
    B.set(correction.B.subarray(o * r, (o + 1) * r), (o * 2 + 1) * r);
  }
  return { ...m, r: 2 * r, A, B };
}

/** Twice the rank at the same scaling, which rsLoRA divides by √r. */
function withTwiceTheRank(config: AdapterConfig): AdapterConfig {
  const { r, lora_alpha, use_rslora, rank_pattern, alpha_pattern } = config;
  const alphaFactor = use_rslora ? Math.SQRT2 : 2;
  return {
    ...config,
    r: 2 * r,
    lora_alpha: alphaFactor * lora_alpha,
    rank_pattern: multiplyValues(rank_pattern, 2),
    alpha_pattern: multiplyValues(alpha_pattern, alphaFactor),
  };
}

const multiplyValues = (pattern: Readonly<Record<string, number>>, factor: number) =>
  Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, value * factor]));
