import { dotProduct, norm, subtract } from './vectors';

export interface ColumnQr {
  /** One column per entry. */
  readonly Q: readonly Float64Array[];
  /** One row per entry. */
  readonly R: readonly Float64Array[];
}

/** A column is orthogonalized again where less than this share of its length is left. */
const CANCELLATION = 0.7;
/** A column of which less than this share is left depends on those before it. */
const DEPENDENT = 1e-13;

/**
 * QR of a matrix given by its columns, which become Q, by modified Gram-Schmidt, repeated where
 * much of a column cancels (Björck 1994). A column that depends on those before it becomes zero in
 * Q.
 */
export function gramSchmidtQr(columns: readonly Float64Array[]): ColumnQr {
  const R = columns.map(() => new Float64Array(columns.length));
  const Q: Float64Array[] = [];
  for (const [k, column] of columns.entries()) {
    const before = norm(column);
    let length = orthogonalize(column, Q, R);
    if (length < CANCELLATION * before) length = orthogonalize(column, Q, R);
    const isIndependent = length > DEPENDENT * before;
    R[k]![k] = isIndependent ? length : 0;
    for (let n = 0; n < column.length; n++) column[n] = isIndependent ? column[n]! / length : 0;
    Q.push(column);
  }
  return { Q, R };
}

/** Subtracts the projections onto Q and adds them to the next column of R. Returns what is left. */
function orthogonalize(
  column: Float64Array,
  Q: readonly Float64Array[],
  R: readonly Float64Array[],
): number {
  const k = Q.length;
  for (const [i, q] of Q.entries()) {
    const along = dotProduct(q, column);
    subtract(column, q, along);
    R[i]![k]! += along;
  }
  return norm(column);
}
