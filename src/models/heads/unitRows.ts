/** Rows of length 1, and the lengths that they had. */
export interface UnitRows {
  readonly rows: Float64Array;
  readonly lengths: Float64Array;
  readonly width: number;
}

/** Rows of `width` elements, scaled to length 1. */
export function unitRows(vectors: Float32Array, width: number): UnitRows {
  const rows = Float64Array.from(vectors);
  const lengths = Float64Array.from({ length: vectors.length / width }, (_, index) => {
    const row = rows.subarray(index * width, (index + 1) * width);
    const square = row.reduce((sum, x) => sum + x * x, 0);
    const length = Math.max(1e-12, Math.sqrt(square));
    row.forEach((x, i) => (row[i] = x / length));
    return length;
  });
  return { rows, lengths, width };
}

/** Gradient of v for u = v / ‖v‖: (du - u (u · du)) / ‖v‖ */
export function unitRowsBackward(
  { rows, lengths, width }: UnitRows,
  dUnits: Float32Array | Float64Array,
): Float32Array {
  const gradient = new Float32Array(rows.length);
  lengths.forEach((length, row) => {
    const start = row * width;
    const end = start + width;
    let projection = 0;
    for (let k = start; k < end; k++) projection += rows[k]! * dUnits[k]!;
    for (let k = start; k < end; k++) {
      gradient[k] = (dUnits[k]! - rows[k]! * projection) / length;
    }
  });
  return gradient;
}

/** Scales rows of `width` elements to length 1. */
export function normalizedRows(vectors: Float32Array, width: number): Float32Array {
  return Float32Array.from(unitRows(vectors, width).rows);
}
