import type { LoraFactors } from './adapter';

/**
 * An update of a weight [out, in], or of a convolution's kernels as such a matrix, whose rows are
 * computed when they are needed.
 */
export interface RowUpdate {
  readonly out_features: number;
  readonly in_features: number;
  /** The sizes of a convolution's kernel, linear: [1, 1]; null: it is not known. */
  readonly kernel: readonly number[] | null;
  /** DoRA: the length of each row of W + dW. [out] */
  readonly magnitude: Float32Array | null;
  /** Adds a row of the update, times its scale, to `sum` [in]. */
  readonly addRow: (row: number, sum: Float64Array) => void;
  /** The update as a product of two matrices; null: it is not one. */
  readonly product: UpdateProduct | null;
  /** The update of the transposed weight; null: there is none with rows (DoRA, LoHa, LoKr). */
  readonly transposed: (() => RowUpdate) | null;
}

/** An update s·BA. */
export interface UpdateProduct {
  readonly r: number;
  readonly A: Float32Array; // [r, in]
  /** Writes a row of s·B [r] to `into`, from the element `at` on. */
  readonly writeRow: (row: number, into: Float64Array, at: number) => void;
}

/** s·BA */
export function lowRankRows(m: LoraFactors): RowUpdate {
  const { r, in_features, out_features, scaling, A, B, magnitude, kernel = [1, 1] } = m;
  const addRow = (row: number, sum: Float64Array): void => {
    for (let k = 0; k < r; k += 4) addFour(row, k, sum);
  };
  /** Ranks k to k + 3: a pass over the sum for four of them is twice as fast as four passes. */
  const addFour = (row: number, k: number, sum: Float64Array): void => {
    const at = row * r + k;
    const b = (n: number): number => (k + n < r ? scaling * B[at + n]! : 0);
    const [b0, b1, b2, b3] = [b(0), b(1), b(2), b(3)];
    if (b0 === 0 && b1 === 0 && b2 === 0 && b3 === 0) return;
    const start = (n: number): number => Math.min(k + n, r - 1) * in_features;
    const [a0, a1, a2, a3] = [start(0), start(1), start(2), start(3)];
    for (let i = 0; i < in_features; i++)
      sum[i]! += b0 * A[a0 + i]! + b1 * A[a1 + i]! + b2 * A[a2 + i]! + b3 * A[a3 + i]!;
  };
  const writeRow = (row: number, into: Float64Array, at: number): void => {
    for (let k = 0; k < r; k++) into[at + k] = scaling * B[row * r + k]!;
  };
  const product = { r, A, writeRow };
  const transposed = magnitude ? null : () => lowRankRows(transposedFactors(m));
  return { in_features, out_features, kernel, magnitude, addRow, product, transposed };
}

/** (BA)ᵀ = AᵀBᵀ */
const transposedFactors = (m: LoraFactors): LoraFactors => ({
  ...m,
  in_features: m.out_features,
  out_features: m.in_features,
  A: transposedMatrix(m.B, m.r),
  B: transposedMatrix(m.A, m.in_features),
});

/** [rows, columns] -> [columns, rows] */
export function transposedMatrix(values: Float32Array, columns: number): Float32Array {
  const rows = values.length / columns;
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** The product whose row `row` is the row `moved(row)` of another. */
const movedProduct = (
  product: UpdateProduct | null,
  moved: (row: number) => number,
): UpdateProduct | null =>
  product && {
    ...product,
    writeRow: (row, into, at) => product.writeRow(moved(row), into, at),
  };

/** `count` rows of an update, from the row `first` on. */
export const someRows = (update: RowUpdate, first: number, count: number): RowUpdate => ({
  ...update,
  out_features: count,
  magnitude: update.magnitude?.subarray(first, first + count) ?? null,
  addRow: (row, sum) => update.addRow(first + row, sum),
  product: movedProduct(update.product, (row) => first + row),
  transposed: null,
});

/** The update with the halves of its rows exchanged. */
export function swappedHalves(update: RowUpdate): RowUpdate {
  const { out_features, magnitude } = update;
  const half = out_features / 2;
  const moved = (row: number): number => (row < half ? row + half : row - half);
  return {
    ...update,
    magnitude: magnitude && magnitude.map((_, row) => magnitude[moved(row)]!),
    addRow: (row, sum) => update.addRow(moved(row), sum),
    product: movedProduct(update.product, moved),
    transposed: null,
  };
}

/** An update of some rows of a weight. */
export interface PlacedUpdate {
  /** Its first row in the weight. */
  readonly first: number;
  readonly update: RowUpdate;
}

/** Adds row `row` of all updates to `sum`; returns DoRA's length of the row, null without one. */
export function addPlacedRow(
  updates: readonly PlacedUpdate[],
  row: number,
  sum: Float64Array,
): number | null {
  let magnitude: number | null = null;
  for (const { first, update } of updates) {
    const own = row - first;
    if (own < 0 || own >= update.out_features) continue;
    update.addRow(own, sum);
    magnitude = update.magnitude?.[own] ?? magnitude;
  }
  return magnitude;
}
