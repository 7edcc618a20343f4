import type { LoraFactors } from './adapter';
import type { StackedProduct } from './stackedProduct';

/**
 * How a weight is stored: `by_output` as [out, in] or a convolution's [out, in, height, width];
 * `by_input` as GPT-2's [in, out] or an embedding's [vocab, dim].
 */
export type Layout = 'by_output' | 'by_input';

export const layoutOf = ({ kind }: Pick<LoraFactors, 'kind'>, transposed: boolean): Layout =>
  transposed || kind === 'embedding' ? 'by_input' : 'by_output';

/** Statistics of the update added to some rows, before DoRA scales them. */
export interface MergeEffect {
  /** The sum of the squares of all that was added. */
  readonly square: number;
  /** Number of elements to which exactly 0 was added. */
  readonly still: number;
}

/** Adds an update to a weight, one block of rows after the other. */
export interface TensorMerger {
  /** Whether all rows must be passed to `measure` before any is merged. */
  readonly needsMeasure: boolean;
  /** Length of a stored row. */
  readonly columns: number;
  /** Accumulates sums over all rows. `start`: the index of the block's first row. */
  measure(block: Float32Array, start: number): void;
  /** Its updates as one product of float64, for a kernel; null or missing: they are none. */
  product?(): StackedProduct | null;
  /** Merges a block of rows in place. `start`: the index of its first row. */
  merge(block: Float32Array, start: number): MergeEffect;
}

/**
 * Adds s·BA to a weight, one block of rows after the other, so that no more of the weight need be
 * in memory. Each sum is rounded to f32 once. With DoRA, the rows of W + s·BA [out, in] are then
 * scaled to the trained magnitudes (Liu et al. 2024, eq. 5). Several adapters are summed first.
 */
export class Merger implements TensorMerger {
  private readonly delta: Float32Array;
  private readonly sum: Float64Array;
  /** DoRA by input: ‖W + s·BA‖² of each output, accumulated over all rows by `measure`. */
  private readonly squares: Float64Array | null;

  /** @throws RangeError where one of several adapters is a DoRA adapter. */
  constructor(
    private readonly factors: readonly LoraFactors[],
    private readonly layout: Layout,
  ) {
    const [first] = factors;
    if (!first || (factors.length > 1 && factors.some((m) => m.magnitude)))
      throw new RangeError('A DoRA adapter can only be merged alone.');
    this.delta = new Float32Array(layout === 'by_output' ? first.in_features : first.out_features);
    this.sum = new Float64Array(this.delta.length);
    this.squares =
      first.magnitude && layout === 'by_input' ? new Float64Array(first.out_features) : null;
  }

  get needsMeasure(): boolean {
    return this.squares !== null;
  }

  get columns(): number {
    return this.delta.length;
  }

  /** Accumulates the norms that DoRA needs. */
  measure(block: Float32Array, start: number): void {
    const { columns, squares } = this;
    for (let row = 0; row * columns < block.length; row++) {
      this.computeDelta(start + row);
      for (let i = 0; i < columns; i++) {
        squares![i]! += Math.fround(block[row * columns + i]! + this.delta[i]!) ** 2;
      }
    }
  }

  merge(block: Float32Array, start: number): MergeEffect {
    const { columns, delta } = this;
    const magnitude = this.factors[0]!.magnitude;
    let square = 0;
    let still = 0;
    for (let row = 0; row * columns < block.length; row++) {
      this.computeDelta(start + row);
      const own = block.subarray(row * columns, (row + 1) * columns);
      for (let i = 0; i < columns; i++) {
        square += delta[i]! ** 2;
        if (delta[i] === 0) still++;
        own[i]! += delta[i]!;
      }
      if (magnitude) this.scaleToMagnitude(own, magnitude, start + row);
    }
    return { square, still };
  }

  /** Row `row` of the update, as it is stored. */
  private computeDelta(row: number): void {
    const { sum, delta, factors } = this;
    if (factors.length === 1) {
      const [m] = factors;
      this.computeProduct(m!, row);
      for (let i = 0; i < delta.length; i++) delta[i] = Math.fround(sum[i]!) * m!.scaling;
      return;
    }
    delta.fill(0);
    for (const m of factors) {
      this.computeProduct(m, row);
      for (let i = 0; i < delta.length; i++) delta[i]! += sum[i]! * m.scaling;
    }
  }

  private computeProduct(m: LoraFactors, row: number): void {
    this.sum.fill(0);
    if (this.layout === 'by_output') addRowOfProduct(m, row, this.sum);
    else addColumnOfProduct(m, row, this.sum);
  }

  private scaleToMagnitude(row: Float32Array, magnitude: Float32Array, index: number): void {
    if (this.squares) {
      for (let i = 0; i < row.length; i++) row[i]! *= magnitude[i]! / Math.sqrt(this.squares[i]!);
      return;
    }
    let square = 0;
    for (const x of row) square += x * x;
    const factor = magnitude[index]! / Math.sqrt(square);
    for (let i = 0; i < row.length; i++) row[i]! *= factor;
  }
}

/** Row o of BA. */
function addRowOfProduct(
  { r, in_features, A, B }: LoraFactors,
  o: number,
  sum: Float64Array,
): void {
  for (let k = 0; k < r; k++) {
    const b = B[o * r + k]!;
    const start = k * in_features;
    for (let i = 0; i < in_features; i++) sum[i]! += b * A[start + i]!;
  }
}

/** Column i of BA. */
function addColumnOfProduct(
  { r, in_features, out_features, A, B }: LoraFactors,
  i: number,
  sum: Float64Array,
): void {
  for (let k = 0; k < r; k++) {
    const a = A[k * in_features + i]!;
    for (let o = 0; o < out_features; o++) sum[o]! += a * B[o * r + k]!;
  }
}

/** Merges a whole weight at once, in place. `transposed`: it is stored as [in, out]. */
export function mergeInto(weight: Float32Array, m: LoraFactors, transposed: boolean): void {
  const merger = new Merger([m], layoutOf(m, transposed));
  if (merger.needsMeasure) merger.measure(weight, 0);
  merger.merge(weight, 0);
}
