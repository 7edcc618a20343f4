/** A matrix in row-major order. */
export interface DenseMatrix {
  readonly data: Float32Array; // [rows, columns]
  readonly rows: number;
  readonly columns: number;
}

/** M x, summed in f64. */
export function multiply({ data, rows, columns }: DenseMatrix, x: Float64Array): Float64Array {
  const y = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0, at = i * columns; j < columns; j++, at++) sum += data[at]! * x[j]!;
    y[i] = sum;
  }
  return y;
}

/** Mᵀ x, summed in f64. */
export function multiplyTransposed(
  { data, rows, columns }: DenseMatrix,
  x: Float64Array,
): Float64Array {
  const y = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    const factor = x[i]!;
    for (let j = 0, at = i * columns; j < columns; j++, at++) y[j]! += factor * data[at]!;
  }
  return y;
}
