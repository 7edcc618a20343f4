import type { Ops, Tensor } from '../ops/ops';

/** (row, column) of one column in each row. */
export const placesOf = (columns: Int32Array): Int32Array =>
  Int32Array.from(Array.from(columns, (column, row) => [row, column]).flat());

/**
 * log(sum(exp z)) of each row of z [c, vocab], with p = softmax(z): max z - log(max p), which is
 * exact even if other p underflow. Frees neither.
 */
export async function logSums(ops: Ops, z: Tensor, p: Tensor): Promise<Float64Array> {
  const parts = [ops.max(z), ops.max(p)];
  const [maxZ, maxP] = (await Promise.all(parts.map((t) => ops.download(t)))) as [
    Float32Array,
    Float32Array,
  ];
  ops.free(...parts);
  return Float64Array.from(maxZ, (own, i) => own - Math.log(maxP[i]!));
}

/** log(sum(exp z)) - z[label] of each row. p = softmax(z). Frees neither. */
export async function crossEntropies(
  ops: Ops,
  z: Tensor,
  p: Tensor,
  labels: Int32Array,
): Promise<Float64Array> {
  const places = ops.upload(placesOf(labels), [labels.length, 2]);
  const ofLabels = ops.gatherElements(z, places);
  const zOfLabel = await ops.download(ofLabels);
  ops.free(places, ofLabels);
  const sums = await logSums(ops, z, p);
  return sums.map((sum, i) => sum - zOfLabel[i]!);
}
