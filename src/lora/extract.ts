import { createRandom } from '../shared/random';
import { topTriplets } from './linalg';
import { rankForTarget, type ResizeTarget } from './resize';
import type { LoraFactors } from './adapter';

export interface ExtractedLayer {
  readonly factors: LoraFactors;
  /** ‖dW‖F */
  readonly norm: number;
  /** ‖dW - BA‖F */
  readonly lost: number;
}

/** A difference of weights as its file holds it: [out, in], or [in, out] of GPT-2's Conv1D. */
export interface WeightDifference {
  readonly path: string;
  readonly in_features: number;
  readonly out_features: number;
  readonly transposed: boolean;
  readonly data: Float32Array;
}

const FIRST_RANK = 16;

/**
 * The best update of so few ranks (Eckart and Young 1936), with scale 1; null where nothing
 * differs.
 */
export function extractLayer(
  difference: WeightDifference,
  target: ResizeTarget,
): ExtractedLayer | null {
  const { path, in_features, out_features, transposed, data } = difference;
  const square = data.reduce((sum, x) => sum + x * x, 0);
  if (square === 0) return null;
  const [rows, columns] = transposed ? [in_features, out_features] : [out_features, in_features];
  const most = Math.min(rows, columns);
  for (
    let tried = Math.min(most, target.kind === 'rank' ? target.rank : FIRST_RANK);
    ;
    tried = Math.min(most, 2 * tried)
  ) {
    const { U, S, V } = topTriplets(data, rows, columns, tried, createRandom(1, path));
    const squares = S.map((s) => s * s);
    const r = Math.min(most, rankForTarget(squares, square, target));
    const isFound =
      r < tried ||
      tried === most ||
      target.kind === 'rank' ||
      squares.reduce((a, b) => a + b, 0) >= share(target) * square;
    if (!isFound) continue;
    const [left, right] = transposed ? [V, U] : [U, V];
    const held = squares.subarray(0, r).reduce((a, b) => a + b, 0);
    return {
      norm: Math.sqrt(square),
      lost: Math.sqrt(Math.max(0, square - held)),
      factors: factorsOf(difference, r, S, left, right),
    };
  }
}

const share = (target: ResizeTarget) =>
  target.kind === 'energy' ? target.energy : target.kind === 'error' ? 1 - target.error ** 2 : 0;

function factorsOf(
  { path, in_features, out_features }: WeightDifference,
  r: number,
  S: Float64Array,
  left: Float64Array,
  right: Float64Array,
): LoraFactors {
  const B = new Float32Array(out_features * r);
  for (let o = 0; o < out_features; o++)
    for (let k = 0; k < r; k++) B[o * r + k] = left[k * out_features + o]! * S[k]!;
  return {
    path,
    kind: 'linear',
    r,
    in_features,
    out_features,
    scaling: 1,
    A: Float32Array.from(right.subarray(0, r * in_features)),
    B,
    magnitude: null,
  };
}
