import { createRandom } from '../shared/random';
import { thinQr, topTriplets } from './linalg';
import type { Adapter, AdapterConfig, LoraFactors } from './adapter';

/**
 * A and B that begin with a part of W [out, in]. pissa (Meng et al. 2024): the first r singular
 * triplets, √(S/s) on both sides, so that s·BA is that part of W. olora (Büyükakyüz 2024): A =
 * R[:r], B = Q[:, :r] of W = QR.
 */
export function startFromWeight(
  kind: 'pissa' | 'olora',
  weight: Float32Array,
  { path, r, in_features, out_features, scaling }: LoraFactors,
): Pick<LoraFactors, 'A' | 'B'> {
  const A = new Float32Array(r * in_features);
  const B = new Float32Array(out_features * r);
  const own = Math.min(r, in_features, out_features);
  if (kind === 'olora') {
    const { Q, R } = thinQr(weight, out_features, in_features, own);
    A.set(R);
    for (let o = 0; o < out_features; o++)
      for (let k = 0; k < own; k++) B[o * r + k] = Q[o * own + k]!;
    return { A, B };
  }
  const { U, S, V } = topTriplets(
    weight,
    out_features,
    in_features,
    own,
    createRandom(0, 'svd', path),
  );
  for (let k = 0; k < own; k++) {
    const root = Math.sqrt(S[k]! / scaling);
    for (let i = 0; i < in_features; i++) A[k * in_features + i] = root * V[k * in_features + i]!;
    for (let o = 0; o < out_features; o++) B[o * r + k] = root * U[k * out_features + o]!;
  }
  return { A, B };
}

/**
 * The adapter for the whole base: s(BA - B0 A0) as one of twice the rank, [B | -B0] [A; A0], as
 * PEFT converts when it saves. `below` holds A0 and -B0.
 */
export function convertToPlain(trained: Adapter, below: Adapter): Adapter {
  const starts = new Map(below.modules.map((m) => [m.path, m]));
  return {
    ...trained,
    config: doubled(trained.config),
    modules: trained.modules.map((m) => (starts.has(m.path) ? joined(m, starts.get(m.path)!) : m)),
  };
}

function joined(m: LoraFactors, start: LoraFactors): LoraFactors {
  const { r, in_features, out_features } = m;
  const A = new Float32Array(2 * r * in_features);
  A.set(m.A);
  A.set(start.A, r * in_features);
  const B = new Float32Array(out_features * 2 * r);
  for (let o = 0; o < out_features; o++) {
    B.set(m.B.subarray(o * r, (o + 1) * r), o * 2 * r);
    B.set(start.B.subarray(o * r, (o + 1) * r), (o * 2 + 1) * r);
  }
  return { ...m, r: 2 * r, A, B };
}

/** Twice the rank at the same scaling. */
function doubled(config: AdapterConfig): AdapterConfig {
  const { r, lora_alpha, use_rslora, rank_pattern, alpha_pattern } = config;
  const factor = use_rslora ? Math.SQRT2 : 2;
  const times = (pattern: Readonly<Record<string, number>>, by: number) =>
    Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, value * by]));
  return {
    ...config,
    r: 2 * r,
    lora_alpha: factor * lora_alpha,
    rank_pattern: times(rank_pattern, 2),
    alpha_pattern: times(alpha_pattern, factor),
  };
}
