import type { ModelInput } from '../model';
import { castAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';

/** What a head reads of the vectors of sequences. */
export interface Pooled {
  readonly h: Tensor; // [m, d]
  /** Tensors that the body does not own. */
  readonly own: readonly Tensor[];
  /** From the gradient of h, which is freed, to that of the body's output. */
  readonly backward: (dh: Tensor) => Tensor;
}

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

/** Each sequence's first vector, followed by the mean of its others: [batch, 2 d]. */
export function firstAndMean(ops: Ops, h: Tensor, { batch, length }: ModelInput): Pooled {
  const n = batch * length;
  const d = h.shape[1]!;
  const data = new Float32Array(2 * batch * n);
  for (let row = 0; row < batch; row++) {
    const start = row * length;
    data[2 * row * n + start] = 1;
    data.fill(1 / (length - 1), (2 * row + 1) * n + start + 1, (2 * row + 1) * n + start + length);
  }
  const weights = ops.upload(data, [2 * batch, n]);
  const both = ops.matMul(weights, h); // [2 batch, d]
  const y = thenFree(ops, ops.reshape(both, [batch, 2 * d]), both);
  return {
    h: y,
    own: [y, weights],
    backward: (dh) => {
      const dBoth = thenFree(ops, ops.reshape(dh, [2 * batch, d]), dh);
      return gradientOfMeans(ops, weights, dBoth);
    },
  };
}

/** The gradient of h for that of weights · h, which is freed. */
export function gradientOfMeans(ops: Ops, weights: Tensor, dy: Tensor): Tensor {
  const exact = castAndFree(ops, dy, 'f32');
  return thenFree(ops, ops.matMul(weights, exact, true), exact);
}
