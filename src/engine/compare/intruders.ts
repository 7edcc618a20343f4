import type { LoraFactors } from '../../lora/adapter';
import { Float64Ops } from '../../models/ops/float64Ops';
import type { TfBinding } from '../../models/ops/tfBinding';

/**
 * Intruder dimensions of W + dW (Shuttleworth et al. 2024, "LoRA vs full fine-tuning: an illusion
 * of equivalence"): those of its first left singular vectors that are not close to any of W's.
 */
export interface Intruders {
  /**
   * For each of the first left singular vectors: its largest |cosine| with one of W's.
   */
  readonly best_cosines: readonly number[];
  /** How many of the cosines are below the threshold. */
  readonly count: number;
}

/** A layer's weight as its file stores it. */
export interface LayerWeight {
  readonly data: Float32Array;
  /** [in, out] instead of [out, in]. */
  readonly isByInput: boolean;
}

/** How many singular vectors are examined, as in the paper. */
const INTRUDER_DIRECTIONS = 10;
/** The paper's threshold: a cosine below it makes a vector an intruder. */
export const INTRUDER_THRESHOLD = 0.5;

/** The intruder dimensions of W + dW for each update of the weight. */
export function findIntruders(
  binding: TfBinding,
  { data, isByInput }: LayerWeight,
  updates: readonly LoraFactors[],
): Intruders[] {
  const [first] = updates;
  if (!first) {
    return [];
  }
  const { in_features, out_features } = first;
  return Float64Ops.scoped(binding, (ops) => {
    const shape = isByInput ? [in_features, out_features] : [out_features, in_features];
    const W = ops.upload(data, shape);
    const svdOfW = ops.svd(W);
    const leftOfW = isByInput ? svdOfW.V : svdOfW.U; // [out, k]
    return updates.map(({ A, B, r, scaling }) => {
      const a = ops.upload(A, [r, in_features]);
      const scaledB = B.map((x) => x * scaling);
      const b = ops.upload(scaledB, [out_features, r]);
      const dW = isByInput ? ops.matMul(a, b, true, true) : ops.matMul(b, a);
      const adapted = ops.svd(ops.add(W, dW));
      const left = isByInput ? adapted.V : adapted.U; // [out, k]
      const cosines = ops.download(ops.maxAbsOfRows(ops.matMul(left, leftOfW, true)));
      const best_cosines = [...cosines.subarray(0, INTRUDER_DIRECTIONS)];
      const count = best_cosines.filter((cosine) => cosine < INTRUDER_THRESHOLD).length;
      return { best_cosines, count };
    });
  });
}
