import type { LoraFactors } from './adapter';

/**
 * The magnitudes that DoRA starts from (Liu et al. 2024, eq. 5; PEFT's get_weight_norm) [out]: the
 * norms of the rows of W + s·BA for W [out, in], of the columns of E + s·(BA)ᵀ for an embedding E
 * [vocab, dim]. dW is computed one row at a time.
 */
export function initialMagnitude(
  weight: Float32Array,
  { kind, r, in_features, out_features, scaling, A, B }: LoraFactors,
): Float32Array {
  const [outputStride, inputStride] = kind === 'embedding' ? [1, out_features] : [in_features, 1];
  const isZero = B.every((b) => b === 0) || A.every((a) => a === 0);
  return Float32Array.from({ length: out_features }, (_, o) => {
    let square = 0;
    for (let i = 0; i < in_features; i++) {
      let w = weight[o * outputStride + i * inputStride]!;
      if (!isZero) {
        for (let k = 0; k < r; k++) w += scaling * B[o * r + k]! * A[k * in_features + i]!;
      }
      square += w * w;
    }
    return Math.sqrt(square);
  });
}
