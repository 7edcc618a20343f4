import { createRandom } from '../shared/random';
import type { LoraFactors } from './adapter';
import { topTriplets, type Triplets } from './linalg/lanczos';
import { rankForTarget, type ResizeTarget } from './resize';

export interface ExtractedLayer {
  readonly factors: LoraFactors;
  /** ‖dW‖F */
  readonly norm: number;
  /** ‖dW - BA‖F */
  readonly lost: number;
}

/** A difference of weights as its file stores it: [out, in], or transposed as GPT-2's Conv1D. */
export interface WeightDifference {
  readonly path: string;
  readonly in_features: number;
  readonly out_features: number;
  readonly transposed: boolean;
  readonly data: Float32Array;
}

/** Triplets that are computed first where the rank follows from the energy or the error. */
const FIRST_COUNT = 16;

/**
 * The best update of low rank (Eckart and Young 1936), with scaling 1; null where the difference is
 * zero.
 */
export function extractLayer(
  difference: WeightDifference,
  target: ResizeTarget,
): ExtractedLayer | null {
  const square = difference.data.reduce((sum, x) => sum + x * x, 0);
  if (square === 0) return null;
  const { triplets, rank } = tripletsFor(difference, target, square);
  const kept = triplets.S.subarray(0, rank).reduce((sum, s) => sum + s * s, 0);
  return {
    norm: Math.sqrt(square),
    lost: Math.sqrt(Math.max(0, square - kept)),
    factors: factorsFrom(difference, triplets, rank),
  };
}

/** Doubles the number of triplets until they hold enough of ‖dW‖². */
function tripletsFor(
  { path, in_features, out_features, transposed, data }: WeightDifference,
  target: ResizeTarget,
  square: number,
): { readonly triplets: Triplets; readonly rank: number } {
  const matrix = transposed
    ? { data, rows: in_features, columns: out_features }
    : { data, rows: out_features, columns: in_features };
  const fullRank = Math.min(in_features, out_features);
  let count = Math.min(fullRank, target.kind === 'rank' ? target.rank : FIRST_COUNT);
  for (;;) {
    const found = topTriplets(matrix, count, createRandom(1, path));
    const squares = found.S.map((s) => s * s);
    const rank = Math.min(fullRank, rankForTarget(squares, square, target));
    const isEnough =
      target.kind === 'rank' ||
      count === fullRank ||
      rank < count ||
      squares.reduce((a, b) => a + b, 0) >= energyShare(target) * square;
    if (isEnough) return { triplets: transposed ? swapSides(found) : found, rank };
    count = Math.min(fullRank, 2 * count);
  }
}

const swapSides = ({ U, S, V }: Triplets): Triplets => ({ U: V, S, V: U });

/** The share of ‖dW‖² that must be kept. */
function energyShare(target: Exclude<ResizeTarget, { kind: 'rank' }>): number {
  return target.kind === 'energy' ? target.energy : 1 - target.error ** 2;
}

/** B = U·S, A = Vᵀ of the first r triplets. */
function factorsFrom(
  { path, in_features, out_features }: WeightDifference,
  { U, S, V }: Triplets,
  r: number,
): LoraFactors {
  const B = new Float32Array(out_features * r);
  for (let o = 0; o < out_features; o++) {
    for (let k = 0; k < r; k++) B[o * r + k] = U[k * out_features + o]! * S[k]!;
  }
  return {
    path,
    kind: 'linear',
    r,
    in_features,
    out_features,
    scaling: 1,
    A: Float32Array.from(V.subarray(0, r * in_features)),
    B,
    magnitude: null,
  };
}
