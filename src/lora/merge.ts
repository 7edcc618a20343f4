import type { LoraFactors } from './adapter';

/**
 * How a weight lies in its file: by output as [out, in] or a convolution's [out, in, height,
 * width]; by input as GPT-2's [in, out] or an embedding's [vocab, dim].
 */
export type Layout = 'by_output' | 'by_input';

export const layoutOf = ({ kind }: Pick<LoraFactors, 'kind'>, transposed: boolean): Layout =>
  transposed || kind === 'embedding' ? 'by_input' : 'by_output';

/**
 * Adds s·BA to a weight, a block of rows after the other, so that no more of it need be in memory:
 * each sum once in f32; of DoRA the rows of [out, in] are brought to the trained lengths (Liu et
 * al. 2024, eq. 5). Several adapters are added up before.
 */
export class Merger {
  private readonly delta: Float32Array;
  private readonly sum: Float64Array;
  /** ‖W + s·BA‖² of each output, gathered over all rows where they lie across them. */
  private readonly squares: Float64Array | null;

  constructor(
    private readonly factors: readonly LoraFactors[],
    private readonly layout: Layout,
  ) {
    const [first] = factors;
    if (!first || (factors.length > 1 && factors.some((m) => m.magnitude)))
      throw new RangeError('DoRA is merged alone.');
    this.delta = new Float32Array(layout === 'by_output' ? first.in_features : first.out_features);
    this.sum = new Float64Array(this.delta.length);
    this.squares =
      first.magnitude && layout === 'by_input' ? new Float64Array(first.out_features) : null;
  }

  /** Whether all rows must be shown to `measure` before they are merged. */
  get needsMeasure(): boolean {
    return this.squares !== null;
  }

  /** Numbers of a stored row. */
  get columns(): number {
    return this.delta.length;
  }

  measure(block: Float32Array, start: number): void {
    const { columns, squares } = this;
    for (let row = 0; row * columns < block.length; row++) {
      this.deltaRow(start + row);
      for (let i = 0; i < columns; i++)
        squares![i]! += Math.fround(block[row * columns + i]! + this.delta[i]!) ** 2;
    }
  }

  /**
   * Rows from `start` on, in place. Gives how much was added before the rows were brought to a
   * length: the sum of its squares, and to how many elements nothing at all.
   */
  merge(block: Float32Array, start: number): { readonly square: number; readonly still: number } {
    const { columns, delta } = this;
    const magnitude = this.factors[0]!.magnitude;
    let [square, still] = [0, 0];
    for (let row = 0; row * columns < block.length; row++) {
      this.deltaRow(start + row);
      const own = block.subarray(row * columns, (row + 1) * columns);
      for (let i = 0; i < columns; i++) {
        square += delta[i]! ** 2;
        if (delta[i] === 0) still++;
        own[i]! += delta[i]!;
      }
      if (magnitude) this.toLength(own, magnitude, start + row);
    }
    return { square, still };
  }

  private deltaRow(row: number): void {
    const { sum, delta, factors } = this;
    if (factors.length > 1) delta.fill(0);
    for (const m of factors) {
      sum.fill(0);
      if (this.layout === 'by_output') byOutput(m, row, sum);
      else byInput(m, row, sum);
      if (factors.length > 1)
        for (let i = 0; i < delta.length; i++) delta[i]! += sum[i]! * m.scaling;
      else for (let i = 0; i < delta.length; i++) delta[i] = Math.fround(sum[i]!) * m.scaling;
    }
  }

  private toLength(row: Float32Array, magnitude: Float32Array, index: number): void {
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
function byOutput({ r, in_features, A, B }: LoraFactors, o: number, sum: Float64Array): void {
  for (let k = 0; k < r; k++) {
    const b = B[o * r + k]!;
    const at = k * in_features;
    for (let i = 0; i < in_features; i++) sum[i]! += b * A[at + i]!;
  }
}

/** Column i of BA. */
function byInput(
  { r, in_features, out_features, A, B }: LoraFactors,
  i: number,
  sum: Float64Array,
): void {
  for (let k = 0; k < r; k++) {
    const a = A[k * in_features + i]!;
    for (let o = 0; o < out_features; o++) sum[o]! += a * B[o * r + k]!;
  }
}

/** A whole weight at once, in place. */
export function mergeInto(weight: Float32Array, m: LoraFactors, transposed: boolean): void {
  const merger = new Merger([m], layoutOf(m, transposed));
  if (merger.needsMeasure) merger.measure(weight, 0);
  merger.merge(weight, 0);
}
