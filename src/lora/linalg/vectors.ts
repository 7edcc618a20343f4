export type Vector = Float64Array | Float32Array;

/** Inner product, summed in f64 in four partial sums that the processor can add in parallel. */
export function dotProduct(x: Vector, y: Vector): number {
  const unrolled = x.length - (x.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < unrolled; i += 4) {
    a += x[i]! * y[i]!;
    b += x[i + 1]! * y[i + 1]!;
    c += x[i + 2]! * y[i + 2]!;
    d += x[i + 3]! * y[i + 3]!;
  }
  for (let i = unrolled; i < x.length; i++) a += x[i]! * y[i]!;
  return a + b + (c + d);
}

/** Euclidean length. */
export const norm = (x: Vector): number => Math.sqrt(dotProduct(x, x));

/** x - factor · y, in place. */
export function subtract(x: Float64Array, y: Float64Array, factor: number): void {
  for (let i = 0; i < x.length; i++) x[i]! -= factor * y[i]!;
}

/** Σ weights[k] · basis[k] */
export function linearCombination(
  basis: readonly Float64Array[],
  weights: Float64Array,
): Float64Array {
  const sum = new Float64Array(basis[0]!.length);
  for (const [k, vector] of basis.entries()) {
    const weight = weights[k]!;
    if (weight === 0) continue;
    for (let n = 0; n < sum.length; n++) sum[n]! += weight * vector[n]!;
  }
  return sum;
}
