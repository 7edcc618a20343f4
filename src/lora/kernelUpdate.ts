import type { LoraFactors } from './adapter';

type Factors = Pick<LoraFactors, 'A' | 'B' | 'r' | 'in_features' | 'out_features' | 'scaling'>;

/**
 * dW = s·(BA)ᵀ in the orientation of Keras' kernels [in, out], summed in float64: A [r, in],
 * B [out, r].
 */
export function kernelUpdate({
  A,
  B,
  r,
  in_features,
  out_features,
  scaling,
}: Factors): Float64Array {
  const update = new Float64Array(in_features * out_features);
  for (let k = 0; k < r; k++)
    for (let i = 0; i < in_features; i++) {
      const a = A[k * in_features + i]! * scaling;
      if (a === 0) continue;
      for (let o = 0; o < out_features; o++) update[i * out_features + o]! += a * B[o * r + k]!;
    }
  return update;
}

/** W + dW as float32, for a kernel [in, out]. */
export function mergedKernel(kernel: Float32Array, factors: Factors): Float32Array {
  const update = kernelUpdate(factors);
  return Float32Array.from(kernel, (value, i) => value + update[i]!);
}
