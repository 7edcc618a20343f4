import type { LoraFactors } from '../../lora/adapter';
import { Float64Ops } from '../../models/ops/float64Ops';
import type { TfBinding } from '../../models/ops/tfBinding';

/**
 * Directions of W + dW that W did not have (Shuttleworth et al. 2024, "LoRA vs full fine-tuning: an
 * illusion of equivalence"): of its first left singular vectors those that none of W's comes close
 * to.
 */
export interface Intruders {
  /**
   * |cosine| of each with the closest of all left singular vectors of W, largest singular value
   * first.
   */
  readonly best_cosines: readonly number[];
  /** How many of them lie below the threshold. */
  readonly count: number;
}

/** The paper's number of directions, and its threshold. */
export const DIRECTIONS = 10;
export const THRESHOLD = 0.5;

/**
 * A layer's weight with its left singular vectors, for as many updates as are to be held against
 * it.
 */
export function intrudersOf(
  binding: TfBinding,
  weight: Float32Array,
  updates: readonly LoraFactors[],
  by_input: boolean,
): Intruders[] {
  const [first] = updates;
  if (!first) return [];
  const { in_features, out_features } = first;
  return Float64Ops.scoped(binding, (d) => {
    const W = d.upload(
      weight,
      by_input ? [in_features, out_features] : [out_features, in_features],
    );
    const own = d.svd(W);
    const sides = by_input ? own.V : own.U; // [out, k]
    return updates.map((m) => {
      const [A, B] = [
        d.upload(m.A, [m.r, in_features]),
        d.upload(
          m.B.map((x) => x * m.scaling),
          [out_features, m.r],
        ),
      ];
      const dW = by_input ? d.matMul(A, B, true, true) : d.matMul(B, A);
      const adapted = d.svd(d.add(W, dW));
      const cosines = d.download(
        d.maxAbsOfRows(d.matMul(by_input ? adapted.V : adapted.U, sides, true)),
      );
      const best_cosines = [...cosines.subarray(0, DIRECTIONS)];
      return { best_cosines, count: best_cosines.filter((cosine) => cosine < THRESHOLD).length };
    });
  });
}
