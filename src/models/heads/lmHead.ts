import { applyActivation, applyActivationWithSlope } from '../layers/activation';
import type { Dropout } from '../layers/dropout';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  matMulWeight,
  savedTensors,
  sumAndFree,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import type { FusedOps } from '../ops/fused';
import { castAndFree, concatAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';

export interface LmHead {
  /** The output layer, tied to the embedding or not. */
  readonly output: Linear;
  readonly softcap: number | null;
}

/**
 * Bytes of logits that exist at the same time: more rows make larger products, which run faster, up
 * to where their numbers leave the cache.
 */
const CHUNK_BYTES = 32 << 20;
const MOST_ROWS = 256;

/** Rows of the output layer that are computed at once. */
function chunkRows({
  weight: {
    tensor: { shape, dtype },
  },
}: Linear): number {
  const rows = CHUNK_BYTES / (shape[0]! * (dtype === 'bf16' ? 2 : 4));
  return Math.min(MOST_ROWS, Math.max(32, 32 * Math.floor(rows / 32)));
}

/** Logits of all rows of h [n, d] -> [n, vocab]. */
export async function lmLogits(ops: Ops, head: LmHead, h: Tensor): Promise<Float32Array> {
  const n = h.shape[0]!;
  const vocab = head.output.weight.tensor.shape[0]!;
  const all = new Float32Array(n * vocab);
  const step = chunkRows(head.output);
  for (let start = 0; start < n; start += step) {
    const rows = rowsOf(ops, h, start, step);
    const { y, saved } = linearForward(ops, head.output, rows, null);
    const z = capped(ops, y, head.softcap);
    all.set(await ops.download(z), start * vocab);
    ops.free(rows, z, ...savedTensors(saved));
    await ops.yieldPoint();
  }
  return all;
}

/**
 * The loss alone, with the gradients of the output layer's own adapter, or with those of everything
 * below it too.
 */
export type LossOutputs = 'loss' | 'head' | 'all';

/**
 * Sum of the cross-entropies of the first m rows of h against `labels` [m], and its gradient dh [m,
 * d] where all is wanted: d(logits) = softmax(logits) - onehot(label), so dh = softmax(logits) E -
 * E[label]. The logits of some rows at a time.
 */
export async function lmLoss(
  ops: Ops,
  head: LmHead,
  h: Tensor,
  labels: Int32Array,
  dropout: Dropout | null,
  wanted: LossOutputs,
): Promise<{ readonly loss_sum: number; readonly dh: Tensor | null }> {
  const dhs: Tensor[] = [];
  let loss_sum = 0;
  const step = chunkRows(head.output);
  for (let start = 0; start < labels.length; start += step) {
    const own = labels.subarray(start, start + step);
    const rows = rowsOf(ops, h, start, own.length);
    const chunk = await chunkLoss(
      ops,
      head,
      rows,
      own,
      dropout && { ...dropout, seed: dropout.seed + start },
      wanted,
    );
    loss_sum += chunk.loss_sum;
    if (chunk.dh) dhs.push(chunk.dh);
    ops.free(rows);
    await ops.yieldPoint();
  }
  return { loss_sum, dh: dhs.length > 0 ? concatAndFree(ops, dhs, 0) : null };
}

async function chunkLoss(
  ops: Ops,
  { output, softcap }: LmHead,
  rows: Tensor,
  labels: Int32Array,
  dropout: Dropout | null,
  wanted: LossOutputs,
): Promise<{ loss_sum: number; dh: Tensor | null }> {
  const { y, saved } = linearForward(ops, output, rows, dropout); // [c, vocab]
  const isPlain = !isLinearTrained(output) && !output.lora && softcap === null;
  const { p, slope, loss_sum } =
    ops.fused && softcap === null
      ? await fusedCrossEntropy(
          ops,
          ops.fused,
          y,
          labels,
          wanted === 'loss' ? 'loss' : isPlain ? 'p' : 'dz',
        )
      : await plainCrossEntropy(ops, y, softcap, labels);
  const terms =
    wanted === 'loss' || !p
      ? []
      : isPlain
        ? throughWeight(ops, output, p, labels)
        : await throughLogits(ops, output, rows, p, slope, saved, labels, dropout, wanted);
  ops.free(...(p ? [p] : []), ...(slope ? [slope] : []), ...savedTensors(saved));
  return { loss_sum, dh: terms.length > 0 ? sumAndFree(ops, terms) : null };
}

interface Scored {
  /** softmax(z) [c, vocab], or what was asked for */
  readonly p: Tensor | null;
  /** Of the softcap. */
  readonly slope: Tensor | null;
  readonly loss_sum: number;
}

/** Takes y over. */
async function fusedCrossEntropy(
  ops: Ops,
  fused: FusedOps,
  y: Tensor,
  labels: Int32Array,
  wanted: 'loss' | 'p' | 'dz',
): Promise<Scored> {
  const own = ops.upload(labels.slice(), [labels.length]);
  const { p, loss } = fused.crossEntropy(y, own, wanted);
  const losses = await ops.download(loss);
  ops.free(y, own, loss);
  return { p, slope: null, loss_sum: losses.reduce((sum, one) => sum + one, 0) };
}

/** Takes y over. */
async function plainCrossEntropy(
  ops: Ops,
  y: Tensor,
  softcap: number | null,
  labels: Int32Array,
): Promise<Scored> {
  const { z, slope } = cappedWithSlope(ops, y, softcap);
  const p = ops.softmax(z);
  const loss_sum = await crossEntropy(ops, z, p, labels);
  ops.free(z);
  return { p, slope, loss_sum };
}

/**
 * Sum of log(sum(exp z)) - z[label], with log(sum(exp z)) = max z - log(max p): exact also where
 * p[label] underflows.
 */
async function crossEntropy(ops: Ops, z: Tensor, p: Tensor, labels: Int32Array): Promise<number> {
  const places = ops.upload(
    Int32Array.from({ length: labels.length * 2 }, (_, i) => (i % 2 ? labels[i >> 1]! : i >> 1)),
    [labels.length, 2],
  );
  const parts = [ops.max(z), ops.max(p), ops.gatherElements(z, places)];
  const [top, topP, own] = (await Promise.all(parts.map((t) => ops.download(t)))) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  ops.free(places, ...parts);
  return labels.reduce((sum, _, i) => sum + top[i]! - Math.log(topP[i]!) - own[i]!, 0);
}

/** dh = p E - E[label] */
function throughWeight(ops: Ops, output: Linear, p: Tensor, labels: Int32Array): Tensor[] {
  const indices = ops.upload(labels.slice(), [labels.length]);
  const weight = output.weight.tensor;
  const own = thenFree(ops, ops.gather(weight, indices), indices); // [c, d]
  const mean = matMulWeight(ops, p, weight, false); // [c, d]
  return [thenFree(ops, ops.sub(mean, own), mean, own)];
}

/**
 * p - onehot is formed where something of the output layer trains, or where its logits are bent; a
 * backing with kernels of its own has formed it.
 */
async function throughLogits(
  ops: Ops,
  output: Linear,
  rows: Tensor,
  p: Tensor,
  slope: Tensor | null,
  saved: LinearSaved,
  labels: Int32Array,
  dropout: Dropout | null,
  wanted: LossOutputs,
): Promise<Tensor[]> {
  const dz = ops.fused && !slope ? p : lessOneHot(ops, p, labels);
  const dy = slope ? thenFree(ops, ops.mul(dz, slope), dz) : dz;
  const terms = await linearBackward(ops, output, dy, rows, saved, dropout, wanted === 'all');
  if (dy !== p) ops.free(dy);
  return terms;
}

function lessOneHot(ops: Ops, p: Tensor, labels: Int32Array): Tensor {
  const vocab = p.shape[1]!;
  const minusOneHot = new Float32Array(labels.length * vocab);
  labels.forEach((label, i) => (minusOneHot[i * vocab + label] = -1));
  const onehot = ops.upload(minusOneHot, p.shape);
  return thenFree(ops, ops.add(p, onehot), onehot);
}

/** softcap · tanh(y / softcap); takes y over. */
function capped(ops: Ops, y: Tensor, softcap: number | null): Tensor {
  if (softcap === null) return y;
  const small = thenFree(ops, ops.scale(y, 1 / softcap), y);
  const bent = thenFree(ops, applyActivation(ops, 'tanh', small), small);
  return thenFree(ops, ops.scale(bent, softcap), bent);
}

function cappedWithSlope(
  ops: Ops,
  y: Tensor,
  softcap: number | null,
): { readonly z: Tensor; readonly slope: Tensor | null } {
  if (softcap === null) return { z: castAndFree(ops, y, 'f32'), slope: null };
  const small = thenFree(ops, ops.scale(y, 1 / softcap), y);
  const bent = applyActivationWithSlope(ops, 'tanh', small);
  ops.free(small);
  return { z: thenFree(ops, ops.scale(bent.y, softcap), bent.y), slope: bent.slope };
}

function rowsOf(ops: Ops, h: Tensor, start: number, step: number): Tensor {
  const [n, d] = h.shape as [number, number];
  return ops.slice(h, [start, 0], [Math.min(step, n - start), d]);
}
