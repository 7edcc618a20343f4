import { applySoftcap, applySoftcapWithSlope } from '../layers/activation';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  matMulWeight,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import type { CrossEntropyOutput, FusedOps } from '../ops/fusedOps';
import {
  castAndFree,
  concatAndFree,
  sumAndFree,
  thenFree,
  type Ops,
  type Tensor,
} from '../ops/ops';

export interface LmHead {
  /** The output layer; its weight may be that of the embedding. */
  readonly output: Linear;
  /** Logits become softcap · tanh(logit / softcap); null: they stay as they are. */
  readonly softcap: number | null;
}

/**
 * Bytes of logits that exist at one time. More rows make larger, faster products, until the logits
 * no longer fit the processor's cache.
 */
const CHUNK_BYTES = 32 << 20;
const MAX_CHUNK_ROWS = 256;

/** Rows whose logits are computed at one time. */
function chunkRows({ weight }: Linear): number {
  const { shape, dtype } = weight.tensor;
  const rows = CHUNK_BYTES / (shape[0]! * (dtype === 'bf16' ? 2 : 4));
  return Math.min(MAX_CHUNK_ROWS, Math.max(32, 32 * Math.floor(rows / 32)));
}

/** Logits [n, vocab] of all rows of h [n, d], which is not freed. */
export async function lmLogits(ops: Ops, head: LmHead, h: Tensor): Promise<Float32Array> {
  const n = h.shape[0]!;
  const vocab = head.output.weight.tensor.shape[0]!;
  const all = new Float32Array(n * vocab);
  const step = chunkRows(head.output);
  for (let start = 0; start < n; start += step) {
    const rows = sliceRows(ops, h, start, step);
    const { y, saved } = linearForward({ ops, dropout: null }, head.output, rows);
    const z = head.softcap === null ? y : applySoftcap(ops, y, head.softcap);
    all.set(await ops.download(z), start * vocab);
    ops.free(rows, z, ...savedTensors(saved));
    await ops.yieldPoint();
  }
  return all;
}

/** The loss alone, also the gradients of the output layer, or also those of everything below it. */
export type LossOutputs = 'loss' | 'head' | 'all';

/** Rows of h and their labels. */
interface LabelledRows {
  readonly h: Tensor; // [at least as many as labels, d]
  readonly labels: Int32Array;
}

interface LmLoss {
  readonly loss_sum: number;
  /** Null unless all gradients are wanted. */
  readonly dh: Tensor | null; // [labels, d]
}

/**
 * Sum of the cross-entropies of the first rows of h, which is not freed, against `labels`.
 * d(logits) = softmax(logits) - onehot(label), so dh = softmax(logits) E - E[label]. Computes some
 * rows at a time.
 */
export async function lmLoss(
  { ops, dropout }: Computation,
  head: LmHead,
  { h, labels }: LabelledRows,
  wanted: LossOutputs,
): Promise<LmLoss> {
  const dhs: Tensor[] = [];
  let loss_sum = 0;
  const step = chunkRows(head.output);
  for (let start = 0; start < labels.length; start += step) {
    const chunkLabels = labels.subarray(start, start + step);
    const rows = sliceRows(ops, h, start, chunkLabels.length);
    const computation = {
      ops,
      dropout: dropout && { ...dropout, seed: dropout.seed + start },
    };
    const chunk = await chunkLoss(computation, head, { h: rows, labels: chunkLabels }, wanted);
    loss_sum += chunk.loss_sum;
    if (chunk.dh) dhs.push(chunk.dh);
    ops.free(rows);
    await ops.yieldPoint();
  }
  return { loss_sum, dh: dhs.length > 0 ? concatAndFree(ops, dhs, 0) : null };
}

/** The logits of a chunk of c rows, scored against their labels. */
interface ScoredChunk extends LabelledRows {
  readonly linear: LinearSaved;
  /** softmax(z), or the kernel's dz. */
  readonly p: Tensor; // [c, vocab]
  readonly softcapSlope: Tensor | null; // [c, vocab]
}

async function chunkLoss(
  computation: Computation,
  { output, softcap }: LmHead,
  rows: LabelledRows,
  wanted: LossOutputs,
): Promise<LmLoss> {
  const { ops } = computation;
  const { labels } = rows;
  const { y, saved: linear } = linearForward(computation, output, rows.h); // [c, vocab]
  // The gradient then needs no dz: see `backwardThroughWeight`.
  const isPlain = !isLinearTrained(output) && !output.lora && softcap === null;
  const scores =
    ops.fused && softcap === null
      ? await fusedCrossEntropy(ops, ops.fused, { y, labels }, kernelOutput(wanted, isPlain))
      : await plainCrossEntropy(ops, { y, labels }, softcap);
  const { p, softcapSlope, loss_sum } = scores;
  const terms: Tensor[] = [];
  if (wanted !== 'loss' && p) {
    const chunk = { ...rows, linear, p, softcapSlope };
    const wantsInput = wanted === 'all';
    if (!isPlain) {
      terms.push(...(await backwardThroughLogits(computation, output, chunk, wantsInput)));
    } else if (wantsInput) terms.push(backwardThroughWeight(ops, output, chunk));
  }
  ops.free(...(p ? [p] : []), ...(softcapSlope ? [softcapSlope] : []), ...savedTensors(linear));
  return { loss_sum, dh: terms.length > 0 ? sumAndFree(ops, terms) : null };
}

function kernelOutput(wanted: LossOutputs, isPlain: boolean): CrossEntropyOutput {
  if (wanted === 'loss') return 'loss';
  return isPlain ? 'p' : 'dz';
}

interface Scores {
  /** softmax(z), or what the kernel was asked for. */
  readonly p: Tensor | null; // [c, vocab]
  readonly softcapSlope: Tensor | null; // [c, vocab]
  readonly loss_sum: number;
}

interface LabelledLogits {
  readonly y: Tensor; // [c, vocab], before the softcap
  readonly labels: Int32Array;
}

/** Frees y. */
async function fusedCrossEntropy(
  ops: Ops,
  fused: FusedOps,
  { y, labels }: LabelledLogits,
  wanted: CrossEntropyOutput,
): Promise<Scores> {
  const indices = ops.upload(labels.slice(), [labels.length]);
  const { p, loss } = fused.crossEntropy(y, indices, wanted);
  const losses = await ops.download(loss);
  ops.free(y, indices, loss);
  return { p, softcapSlope: null, loss_sum: losses.reduce((sum, one) => sum + one, 0) };
}

/** Frees y. */
async function plainCrossEntropy(
  ops: Ops,
  { y, labels }: LabelledLogits,
  softcap: number | null,
): Promise<Scores> {
  const { y: z, slope: softcapSlope } =
    softcap === null
      ? { y: castAndFree(ops, y, 'f32'), slope: null }
      : applySoftcapWithSlope(ops, y, softcap);
  const p = ops.softmax(z);
  const loss_sum = await crossEntropySum(ops, z, p, labels);
  ops.free(z);
  return { p, softcapSlope, loss_sum };
}

/**
 * Sum of log(sum(exp z)) - z[label], with log(sum(exp z)) = max z - log(max p), which is exact even
 * if p[label] underflows. p = softmax(z). Frees neither.
 */
async function crossEntropySum(
  ops: Ops,
  z: Tensor,
  p: Tensor,
  labels: Int32Array,
): Promise<number> {
  const rowAndLabel = Array.from(labels, (label, row) => [row, label]).flat();
  const places = ops.upload(Int32Array.from(rowAndLabel), [labels.length, 2]);
  const parts = [ops.max(z), ops.max(p), ops.gatherElements(z, places)];
  const [maxZ, maxP, zOfLabel] = (await Promise.all(parts.map((t) => ops.download(t)))) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  ops.free(places, ...parts);
  return labels.reduce((sum, _, i) => sum + maxZ[i]! - Math.log(maxP[i]!) - zOfLabel[i]!, 0);
}

/** dh = p E - E[label] [c, d], for an output layer of which nothing trains. */
function backwardThroughWeight(ops: Ops, output: Linear, { p, labels }: ScoredChunk): Tensor {
  const indices = ops.upload(labels.slice(), [labels.length]);
  const weight = output.weight.tensor;
  const rowsOfLabels = thenFree(ops, ops.gather(weight, indices), indices);
  const mean = matMulWeight(ops, p, weight, false);
  return thenFree(ops, ops.sub(mean, rowsOfLabels), mean, rowsOfLabels);
}

/**
 * The terms of dh (none unless `wantsInput`) through dz = p - onehot(label), for an output layer
 * that trains or is adapted, or with a softcap. The fused kernel has computed dz already.
 */
async function backwardThroughLogits(
  computation: Computation,
  output: Linear,
  { h, labels, linear, p, softcapSlope }: ScoredChunk,
  wantsInput: boolean,
): Promise<Tensor[]> {
  const { ops } = computation;
  const dz = ops.fused && !softcapSlope ? p : subtractOneHot(ops, p, labels);
  const dy = softcapSlope ? thenFree(ops, ops.mul(dz, softcapSlope), dz) : dz;
  const terms = await linearBackward(computation, output, { dy, x: h, saved: linear }, wantsInput);
  if (dy !== p) ops.free(dy);
  return terms;
}

function subtractOneHot(ops: Ops, p: Tensor, labels: Int32Array): Tensor {
  const vocab = p.shape[1]!;
  const numbers = new Float32Array(labels.length * vocab);
  labels.forEach((label, i) => (numbers[i * vocab + label] = -1));
  const minusOneHot = ops.upload(numbers, p.shape);
  return thenFree(ops, ops.add(p, minusOneHot), minusOneHot);
}

/** Up to `count` rows of h from `start` on. */
function sliceRows(ops: Ops, h: Tensor, start: number, count: number): Tensor {
  const [n, d] = h.shape as [number, number];
  return ops.slice(h, [start, 0], [Math.min(count, n - start), d]);
}
