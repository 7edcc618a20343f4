import type { LoraFactors } from './types';

/** Adds s·BA to a weight in place, in the checkpoint's orientation: a linear layer's [out, in]; an embedding's [vocab, dim], whose update is (BA)ᵀ. */
export function addDelta(weight: Float32Array, { kind, r, in_features, out_features, scaling, A, B }: LoraFactors): void {
  const [rowStride, columnStride] = kind === 'embedding' ? [1, out_features] : [in_features, 1];
  const row = new Float64Array(in_features);
  for (let o = 0; o < out_features; o++) {
    row.fill(0);
    for (let k = 0; k < r; k++) {
      const b = scaling * B[o * r + k]!;
      for (let i = 0; i < in_features; i++) row[i]! += b * A[k * in_features + i]!;
    }
    for (let i = 0; i < in_features; i++) weight[o * rowStride + i * columnStride]! += row[i]!;
  }
}
