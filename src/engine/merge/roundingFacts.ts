import type { DType } from '../../formats/tensorInfo';
import type { MergedRows } from '../../models/ops/mergeKernel';

/** The effect of a merge on a tensor. */
export interface TensorFacts {
  readonly name: string;
  readonly dtype: DType;
  /** ‖s·BA‖ */
  readonly delta_norm: number;
  /** Largest difference between W + s·BA and the stored numbers. */
  readonly rounding_error: number;
  /** Root of the mean square of these differences. */
  readonly rms_rounding: number;
  /** Elements with an update that are the same after rounding. */
  readonly unmoved: number;
  readonly elements: number;
}

/** Collects what rounding did to a merged tensor. */
export class RoundingFacts {
  private squaredNorm = 0;
  private roundingError = 0;
  private squaredRounding = 0;
  private unchanged = 0;
  private withoutUpdate = 0;
  private elements = 0;

  add({
    before,
    exact,
    stored,
  }: {
    readonly before: Float32Array;
    readonly exact: Float32Array;
    readonly stored: ArrayLike<number>;
  }): void {
    for (let i = 0; i < exact.length; i++) {
      const rounding = Math.abs(stored[i]! - exact[i]!);
      this.roundingError = Math.max(this.roundingError, rounding);
      this.squaredRounding += rounding ** 2;
      if (stored[i] === before[i]) {
        this.unchanged++;
      }
    }
    this.elements += exact.length;
  }

  /** What a kernel has done to `elements` numbers. */
  addMerged(
    { square, largest, rounding, still, unchanged }: Omit<MergedRows, 'stored' | 'isFinite'>,
    elements: number,
  ): void {
    this.roundingError = Math.max(this.roundingError, largest);
    this.squaredRounding += rounding;
    this.unchanged += unchanged;
    this.elements += elements;
    this.addUpdate(square, still);
  }

  addUpdate(squaredNorm: number, withoutUpdate: number): void {
    this.squaredNorm += squaredNorm;
    this.withoutUpdate += withoutUpdate;
  }

  result(): Omit<TensorFacts, 'name' | 'dtype'> {
    return {
      delta_norm: Math.sqrt(this.squaredNorm),
      rounding_error: this.roundingError,
      rms_rounding: Math.sqrt(this.squaredRounding / Math.max(1, this.elements)),
      unmoved: Math.max(0, this.unchanged - this.withoutUpdate),
      elements: this.elements,
    };
  }
}
