import type { ModelInput } from '../model';
import type { Ops, Tensor } from '../ops/ops';

/** The mean of each sequence's real tokens: y = weights [batch, n] · h [n, d]. */
export function meanOfTokens(
  ops: Ops,
  h: Tensor,
  { batch, length, attention_mask }: ModelInput,
): { readonly y: Tensor; readonly weights: Tensor } {
  const n = batch * length;
  const data = new Float32Array(batch * n);
  for (let row = 0; row < batch; row++) {
    const mask = attention_mask.subarray(row * length, (row + 1) * length);
    const count = mask.reduce((sum, m) => sum + m, 0);
    const start = row * n + row * length;
    mask.forEach((m, i) => (data[start + i] = count === 0 ? 0 : m / count));
  }
  const weights = ops.upload(data, [batch, n]);
  return { y: ops.matMul(weights, h), weights };
}
