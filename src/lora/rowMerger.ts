import type { MergeEffect, TensorMerger } from './merge';
import { addPlacedRow, type PlacedUpdate } from './rowUpdates';
import { stackedProduct, type StackedProduct } from './stackedProduct';

/**
 * Adds updates of some of its rows to a weight [out, in]. Each sum is of float64 and rounded to
 * float32 once. With DoRA, rows of W + dW are then scaled to the trained magnitudes (Liu et al.
 * 2024, eq. 5).
 */
export class RowMerger implements TensorMerger {
  readonly needsMeasure = false;
  private readonly sum: Float64Array;

  /** @param columns Length of a row, with all positions of a kernel. */
  constructor(
    private readonly updates: readonly PlacedUpdate[],
    readonly columns: number,
  ) {
    this.sum = new Float64Array(columns);
  }

  /** All updates as one product, for a kernel; null where they are none. */
  product(): StackedProduct | null {
    return stackedProduct(this.updates, this.columns);
  }

  measure(): void {
    throw new RangeError('Rows are merged without being measured.');
  }

  merge(block: Float32Array, start: number): MergeEffect {
    const { columns, sum } = this;
    let square = 0;
    let still = 0;
    for (let row = 0; row * columns < block.length; row++) {
      const own = block.subarray(row * columns, (row + 1) * columns);
      sum.fill(0);
      const magnitude = addPlacedRow(this.updates, start + row, sum);
      for (let i = 0; i < columns; i++) {
        const change = sum[i]!;
        square += change * change;
        if (change === 0) still++;
        sum[i] = own[i]! + change;
      }
      const factor = magnitude === null ? 1 : magnitude / lengthOf(sum);
      for (let i = 0; i < columns; i++) own[i] = sum[i]! * factor;
    }
    return { square, still };
  }
}

/** Length of a vector. */
export function lengthOf(values: Float64Array): number {
  let square = 0;
  for (let i = 0; i < values.length; i++) square += values[i]! * values[i]!;
  return Math.sqrt(square);
}
