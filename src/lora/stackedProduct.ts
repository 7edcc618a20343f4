import type { PlacedUpdate } from './rowUpdates';

/** Ranks that are added to a sum at once; see `lowRankRows`. */
const RANKS_AT_ONCE = 4;
/** Columns that a kernel reads at once. */
const COLUMNS_AT_ONCE = 8;

/**
 * Several updates of rows of one weight as one product s·BA, whose terms have the order in which
 * the updates are added one by one. The ranks of each update are filled up with zeros to whole
 * groups of those that are added at once, the columns of A to whole groups of a kernel's.
 */
export interface StackedProduct {
  readonly ranks: number;
  /** Columns of A, some of which are zeros. */
  readonly stride: number;
  readonly A: Float32Array; // [ranks, stride]
  /** s·B of some rows [count, ranks]. */
  readonly rowsOfB: (first: number, count: number) => Float64Array;
}

/** Null where an update is no product, or has magnitudes. */
export function stackedProduct(
  updates: readonly PlacedUpdate[],
  columns: number,
): StackedProduct | null {
  const parts: { readonly at: number; readonly placed: PlacedUpdate }[] = [];
  let ranks = 0;
  for (const placed of updates) {
    const { product, magnitude } = placed.update;
    if (!product || magnitude) return null;
    parts.push({ at: ranks, placed });
    ranks += upTo(product.r, RANKS_AT_ONCE);
  }
  const stride = upTo(columns, COLUMNS_AT_ONCE);
  const A = new Float32Array(ranks * stride);
  for (const { at, placed } of parts) {
    const { A: own, r } = placed.update.product!;
    for (let k = 0; k < r; k++)
      A.set(own.subarray(k * columns, (k + 1) * columns), (at + k) * stride);
  }
  const rowsOfB = (first: number, count: number): Float64Array => {
    const rows = new Float64Array(count * ranks);
    for (const { at, placed } of parts) {
      const { out_features, product } = placed.update;
      const from = Math.max(first, placed.first);
      const to = Math.min(first + count, placed.first + out_features);
      for (let row = from; row < to; row++)
        product!.writeRow(row - placed.first, rows, (row - first) * ranks + at);
    }
    return rows;
  };
  return { ranks, stride, A, rowsOfB };
}

const upTo = (n: number, step: number): number => Math.ceil(n / step) * step;
