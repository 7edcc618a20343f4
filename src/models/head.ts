import type { AdapterState } from './adapterState';
import { breathe } from './breathe';
import type { Dropout } from './dropout';
import { linearBackward, linearForward, sumAndFree, type Linear } from './linear';
import { normBackward, normForward, type Norm } from './norm';
import { join, use, type Ops, type Tensor } from './ops/types';

export interface Head {
  readonly norm: Norm;
  /** The output layer, tied to the embedding or not. */
  readonly output: Linear;
}

/** Rows of logits that exist at the same time: 64 x 49,152 numbers stay within a third-level cache, and larger products run slower. */
const CHUNK_ROWS = 64;

/** Logits of all rows of x [n, d] -> [n, vocab]; takes x over. */
export async function headLogits(ops: Ops, head: Head, x: Tensor, vocab: number): Promise<Float32Array> {
  const { h, r } = normForward(ops, head.norm, x);
  ops.free(x, r);
  const n = h.shape[0]!;
  const all = new Float32Array(n * vocab);
  for (let start = 0; start < n; start += CHUNK_ROWS) {
    const rows = rowsOf(ops, h, start);
    const { y, xa } = linearForward(ops, head.output, rows, null);
    all.set(await ops.download(y), start * vocab);
    ops.free(rows, y, ...(xa ? [xa] : []));
    await breathe();
  }
  ops.free(h);
  return all;
}

/** The loss alone, with the gradients of the output layer's own adapter, or with those of everything below it too. */
export type Wanted = 'loss' | 'adapter' | 'all';

export interface HeadLoss {
  readonly loss_sum: number;
  /** Gradient of the sum for x [m, d]; null unless all is wanted. */
  readonly dx: Tensor | null;
}

/**
 * Sum of the cross-entropies of x [m, d] against `labels` [m], and its gradient: d(logits) = softmax(logits) - onehot(label), so
 * d(h) = softmax(logits) E - E[label]. Never more than CHUNK_ROWS rows of logits at once. Takes x over.
 */
export async function headLoss(
  ops: Ops, head: Head, state: AdapterState, x: Tensor, labels: Int32Array, dropout: Dropout | null, wanted: Wanted,
): Promise<HeadLoss> {
  const { h, r } = normForward(ops, head.norm, x); // [m, d]
  const dhs: Tensor[] = [];
  let loss_sum = 0;
  for (let start = 0; start < labels.length; start += CHUNK_ROWS) {
    const rows = rowsOf(ops, h, start);
    const own = labels.subarray(start, start + CHUNK_ROWS);
    const chunk = await chunkLoss(ops, head.output, state, rows, own, dropout && { ...dropout, seed: dropout.seed + start }, wanted);
    loss_sum += chunk.loss_sum;
    if (chunk.dh) dhs.push(chunk.dh);
    ops.free(rows);
    await breathe();
  }
  ops.free(h);
  const dx = dhs.length > 0 ? headBackward(ops, head, x, r, dhs) : null;
  ops.free(x, r);
  return { loss_sum, dx };
}

function headBackward(ops: Ops, head: Head, x: Tensor, r: Tensor, dhs: readonly Tensor[]): Tensor {
  return normBackward(ops, head.norm, x, r, join(ops, dhs, 0), null);
}

async function chunkLoss(
  ops: Ops, output: Linear, state: AdapterState, rows: Tensor, labels: Int32Array, dropout: Dropout | null, wanted: Wanted,
): Promise<{ loss_sum: number; dh: Tensor | null }> {
  const { y: z, xa } = linearForward(ops, output, rows, dropout); // [c, vocab]
  const p = ops.softmax(z);
  const loss_sum = await crossEntropy(ops, z, p, labels);
  ops.free(z);
  const terms = wanted === 'loss' ? [] : output.lora
    ? await throughLora(ops, output, state, rows, p, xa, labels, dropout, wanted)
    : throughWeight(ops, output, p, labels);
  ops.free(p, ...(xa ? [xa] : []));
  return { loss_sum, dh: terms.length > 0 ? sumAndFree(ops, terms) : null };
}

/** Sum of log(sum(exp z)) - z[label], with log(sum(exp z)) = max z - log(max p): exact also where p[label] underflows. */
async function crossEntropy(ops: Ops, z: Tensor, p: Tensor, labels: Int32Array): Promise<number> {
  const places = ops.upload(Int32Array.from({ length: labels.length * 2 }, (_, i) => (i % 2 ? labels[i >> 1]! : i >> 1)), [labels.length, 2]);
  const parts = [ops.max(z), ops.max(p), ops.pick(z, places)];
  const [top, topP, own] = (await Promise.all(parts.map((t) => ops.download(t)))) as [Float32Array, Float32Array, Float32Array];
  ops.free(places, ...parts);
  return labels.reduce((sum, _, i) => sum + top[i]! - Math.log(topP[i]!) - own[i]!, 0);
}

/** dh = p E - E[label] */
function throughWeight(ops: Ops, output: Linear, p: Tensor, labels: Int32Array): Tensor[] {
  const indices = ops.upload(labels.slice(), [labels.length]);
  const own = use(ops, ops.gather(output.weight, indices), indices); // [c, d]
  const mean = ops.matMul(p, output.weight); // [c, d]
  return [use(ops, ops.sub(mean, own), mean, own)];
}

/** With LoRA on the output layer p - onehot is formed, for the gradient of B needs it. */
async function throughLora(
  ops: Ops, output: Linear, state: AdapterState, rows: Tensor, p: Tensor, xa: Tensor | null, labels: Int32Array, dropout: Dropout | null, wanted: Wanted,
): Promise<Tensor[]> {
  const vocab = p.shape[1]!;
  const minusOneHot = new Float32Array(labels.length * vocab);
  labels.forEach((label, i) => (minusOneHot[i * vocab + label] = -1));
  const onehot = ops.upload(minusOneHot, p.shape);
  const dz = use(ops, ops.add(p, onehot), onehot);
  const terms = await linearBackward(ops, output, state, dz, rows, xa, dropout, wanted === 'all');
  ops.free(dz);
  return terms;
}

function rowsOf(ops: Ops, h: Tensor, start: number): Tensor {
  const [n, d] = h.shape as [number, number];
  return ops.slice(h, [start, 0], [Math.min(CHUNK_ROWS, n - start), d]);
}
