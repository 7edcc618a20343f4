import { dotProduct, norm } from './vectors';
import type { DenseMatrix } from './denseMatrix';

export interface ThinQr {
  readonly Q: Float64Array; // [rows, count]
  readonly R: Float64Array; // [count, columns]
}

/**
 * The first `count` columns of Q and rows of R in M = QR, by Householder reflections with the signs
 * of LAPACK (Golub and Van Loan 2013, 5.2).
 */
export function thinQr({ data, rows, columns }: DenseMatrix, count: number): ThinQr {
  const R = { data: Float64Array.from(data), columns };
  const reflectors: Float64Array[] = [];
  for (let k = 0; k < Math.min(count, rows); k++) {
    const v = reflectorOf(R, rows, k);
    reflect(R, v, k);
    reflectors.push(v);
  }
  const Q = { data: new Float64Array(rows * count), columns: count };
  for (let k = 0; k < count; k++) Q.data[k * count + k] = 1;
  for (const v of reflectors.reverse()) reflect(Q, v, 0);
  return { Q: Q.data, R: R.data.slice(0, count * columns) };
}

interface WorkMatrix {
  readonly data: Float64Array;
  readonly columns: number;
}

/**
 * The Householder vector that makes column k zero below the diagonal; zero where it is already, as
 * in LAPACK's dlarfg, so that the sign stays. [rows]
 */
function reflectorOf({ data, columns }: WorkMatrix, rows: number, k: number): Float64Array {
  const v = new Float64Array(rows);
  for (let i = k + 1; i < rows; i++) v[i] = data[i * columns + k]!;
  if (v.every((x) => x === 0)) return v;
  const diagonal = data[k * columns + k]!;
  v[k] = diagonal;
  const length = norm(v);
  v[k] = diagonal + (diagonal >= 0 ? length : -length);
  return v;
}

/** M - 2 v (vᵀ M) / (vᵀ v) in place, columns from `start` on. */
function reflect({ data, columns }: WorkMatrix, v: Float64Array, start: number): void {
  const square = dotProduct(v, v);
  if (square === 0) return;
  const projection = new Float64Array(columns); // vᵀ M
  for (const [i, x] of v.entries()) {
    if (x === 0) continue;
    for (let j = start; j < columns; j++) projection[j]! += x * data[i * columns + j]!;
  }
  for (const [i, x] of v.entries()) {
    if (x === 0) continue;
    for (let j = start; j < columns; j++) {
      data[i * columns + j]! -= (2 * x * projection[j]!) / square;
    }
  }
}
