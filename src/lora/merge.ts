import type { LoraFactors } from './types';

/** How a weight lies in its file: a linear layer's [out, in], GPT-2's [in, out] (transposed), an embedding's [vocab, dim], a convolution's [out, in, height, width]. */
export interface Orientation {
  readonly transposed: boolean;
}

/** W + s·BA in place, each sum added once in f32; of DoRA its rows brought to the trained lengths (Liu et al. 2024, eq. 5). */
export function mergeInto(weight: Float32Array, m: LoraFactors, { transposed }: Orientation): void {
  const { in_features, out_features, magnitude } = m;
  const [rowStride, columnStride] = transposed || m.kind === 'embedding' ? [1, out_features] : [in_features, 1];
  const delta = new Float32Array(in_features);
  const sum = new Float64Array(in_features);
  for (let o = 0; o < out_features; o++) {
    deltaRow(m, o, sum, delta);
    for (let i = 0; i < in_features; i++) weight[o * rowStride + i * columnStride]! += delta[i]!;
    if (magnitude) toLength(weight, magnitude[o]!, o * rowStride, columnStride, in_features);
  }
}

/** Row o of s·BA. */
function deltaRow({ r, in_features, scaling, A, B }: LoraFactors, o: number, sum: Float64Array, delta: Float32Array): void {
  sum.fill(0);
  for (let k = 0; k < r; k++) {
    const b = B[o * r + k]!;
    const at = k * in_features;
    for (let i = 0; i < in_features; i++) sum[i]! += b * A[at + i]!;
  }
  for (let i = 0; i < in_features; i++) delta[i] = Math.fround(sum[i]!) * scaling;
}

function toLength(weight: Float32Array, length: number, start: number, stride: number, count: number): void {
  let square = 0;
  for (let i = 0; i < count; i++) square += weight[start + i * stride]! ** 2;
  const factor = length / Math.sqrt(square);
  for (let i = 0; i < count; i++) weight[start + i * stride]! *= factor;
}
