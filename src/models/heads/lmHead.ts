import { applySoftcapWithSlope } from '../layers/activation';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  matMulBase,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import type { CrossEntropyOutput, FusedOps } from '../ops/fusedOps';
import { crossEntropies, placesOf } from './labelScores';
import { targetsFrom, teacherScores, type TeacherTargets } from './teacher';
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
  /** Factor of the logits, before the softcap. */
  readonly scale: number;
}

/**
 * Bytes of logits that exist at one time. More rows make larger, faster products, until the logits
 * no longer fit the processor's cache.
 */
const CHUNK_BYTES = 32 << 20;
const MAX_CHUNK_ROWS = 256;

/** Rows whose logits are computed at one time. */
export function chunkRows({ weight }: Linear): number {
  const { shape, dtype } = weight;
  const rows = CHUNK_BYTES / (shape[0]! * (dtype === 'bf16' ? 2 : 4));
  return Math.min(MAX_CHUNK_ROWS, Math.max(32, 32 * Math.floor(rows / 32)));
}

/** The loss alone, also the gradients of the output layer, or also those of everything below it. */
export type LossOutputs = 'loss' | 'head' | 'all';

/** Rows of h and their labels. */
interface LabelledRows {
  readonly h: Tensor; // [at least as many as labels, d]
  readonly labels: Int32Array;
  /** Null: all are 1. */
  readonly weights: Float32Array | null;
  /** Label smoothing, from 0 to 1. */
  readonly smoothing: number;
  /** What they learn from beside the labels, without smoothing. Not given: nothing. */
  readonly teacher?: TeacherTargets | undefined;
}

interface LmLoss {
  /** Weighted. */
  readonly loss_sum: number;
  /** Weighted sum of the divergences from the teacher; 0 without one. */
  readonly divergence_sum: number;
  /** Of each row, not weighted. */
  readonly losses: Float64Array;
  /** Null unless all gradients are wanted. */
  readonly dh: Tensor | null; // [labels, d]
}

/** Whether nothing of the output layer trains, and no softcap changes its logits. */
export const isPlainHead = ({ output, softcap }: LmHead): boolean =>
  !isLinearTrained(output) && !output.lora && softcap === null;

/**
 * Weighted sum of the cross-entropies of the first rows of h, which is not freed, against `labels`.
 * d(logits) = softmax(logits) - onehot(label), so dh = softmax(logits) E - E[label]. Smoothed by ε,
 * a row's loss gains ε (logit of the label - mean of the logits), and d(logits) gains
 * ε (onehot(label) - 1 / vocab) (LabelSmoother of transformers). Computes some rows at a time.
 */
export async function lmLoss(
  computation: Computation,
  head: LmHead,
  rows: LabelledRows,
  wanted: LossOutputs,
): Promise<LmLoss> {
  const releaseNumbers = head.output.weight.keepNumbers();
  try {
    return await lossInChunks(computation, head, rows, wanted);
  } finally {
    releaseNumbers();
  }
}

async function lossInChunks(
  { ops, dropout }: Computation,
  head: LmHead,
  { h, labels, weights, smoothing, teacher }: LabelledRows,
  wanted: LossOutputs,
): Promise<LmLoss> {
  const dhs: Tensor[] = [];
  const losses = new Float64Array(labels.length);
  let loss_sum = 0;
  let divergence_sum = 0;
  const step = chunkRows(head.output);
  for (let start = 0; start < labels.length; start += step) {
    const chunkLabels = labels.subarray(start, start + step);
    const rows = headInput(ops, head, h, { start, count: chunkLabels.length });
    const computation = {
      ops,
      dropout: dropout && { ...dropout, seed: dropout.seed + start },
    };
    const targets = {
      h: rows,
      labels: chunkLabels,
      weights: weights && weights.subarray(start, start + step),
      smoothing,
      teacher: teacher && targetsFrom(teacher, start, chunkLabels.length),
    };
    const chunk = await chunkLoss(computation, head, targets, wanted);
    loss_sum += chunk.loss_sum;
    divergence_sum += chunk.divergence_sum;
    losses.set(chunk.losses, start);
    if (chunk.dh) dhs.push(scaledAndFree(ops, chunk.dh, head.scale));
    ops.free(rows);
    await ops.yieldPoint();
  }
  return {
    loss_sum,
    divergence_sum,
    losses,
    dh: dhs.length > 0 ? concatAndFree(ops, dhs, 0) : null,
  };
}

/** The logits of a chunk of c rows, scored against their labels. */
interface ScoredChunk extends LabelledRows {
  readonly linear: LinearSaved;
  /** softmax(z); or the gradient by z but for the smoothing. */
  readonly p: Tensor; // [c, vocab]
  readonly isGradient: boolean;
  readonly softcapSlope: Tensor | null; // [c, vocab]
}

async function chunkLoss(
  computation: Computation,
  head: LmHead,
  rows: LabelledRows,
  wanted: LossOutputs,
): Promise<LmLoss> {
  const { ops } = computation;
  const { output, softcap } = head;
  const { y, saved: linear } = linearForward(computation, output, rows.h); // [c, vocab]
  // The gradient then needs no dz: see `backwardThroughWeight`.
  const isPlain = isPlainHead(head) && !rows.teacher;
  const { p, isGradient, softcapSlope, losses, divergences } = await scoresOf(
    ops,
    { ...rows, y },
    { softcap, wanted, isPlain },
  );
  const terms: Tensor[] = [];
  if (wanted !== 'loss' && p) {
    const chunk = { ...rows, linear, p, isGradient, softcapSlope };
    const wantsInput = wanted === 'all';
    if (!isPlain) {
      terms.push(...(await backwardThroughLogits(computation, output, chunk, wantsInput)));
    } else if (wantsInput) {
      const dh = backwardThroughWeight(ops, output, chunk);
      terms.push(weighted(ops, dh, chunk));
      if (rows.weights) ops.free(dh);
    }
  }
  ops.free(...(p ? [p] : []), ...(softcapSlope ? [softcapSlope] : []), ...savedTensors(linear));
  const sumOf = (values: Float64Array): number =>
    values.reduce((sum, value, i) => sum + (rows.weights?.[i] ?? 1) * value, 0);
  const divergence_sum = divergences ? sumOf(divergences) : 0;
  return {
    loss_sum: sumOf(losses),
    divergence_sum,
    losses,
    dh: terms.length > 0 ? sumAndFree(ops, terms) : null,
  };
}

function kernelOutput(wanted: LossOutputs, isPlain: boolean): CrossEntropyOutput {
  if (wanted === 'loss') return 'loss';
  return isPlain ? 'p' : 'dz';
}

interface Scores {
  /** See `ScoredChunk`; null if only the loss is wanted. */
  readonly p: Tensor | null; // [c, vocab]
  readonly isGradient: boolean;
  readonly softcapSlope: Tensor | null; // [c, vocab]
  /** Of each row. */
  readonly losses: Float64Array;
  /** From the teacher; null without one. */
  readonly divergences: Float64Array | null;
}

interface LabelledLogits {
  readonly y: Tensor; // [c, vocab], before the softcap
  readonly labels: Int32Array;
  readonly smoothing: number;
  readonly teacher?: TeacherTargets | undefined;
}

interface ScoreSettings {
  readonly softcap: number | null;
  readonly wanted: LossOutputs;
  readonly isPlain: boolean;
}

/** Frees y. */
function scoresOf(
  ops: Ops,
  { teacher, ...logits }: LabelledLogits,
  { softcap, wanted, isPlain }: ScoreSettings,
): Promise<Scores> {
  if (teacher) return taughtScores(ops, { ...logits, teacher }, softcap, wanted);
  return ops.fused && softcap === null
    ? fusedCrossEntropy(ops, ops.fused, logits, kernelOutput(wanted, isPlain))
    : plainCrossEntropy(ops, logits, softcap);
}

/** Frees y. */
async function taughtScores(
  ops: Ops,
  { y, labels, teacher }: LabelledLogits & { readonly teacher: TeacherTargets },
  softcap: number | null,
  wanted: LossOutputs,
): Promise<Scores> {
  const { z, softcapSlope } = cappedLogits(ops, y, softcap);
  const { dz, ...scores } = await teacherScores(ops, { z, labels, teacher }, wanted !== 'loss');
  ops.free(z);
  return { p: dz, isGradient: true, softcapSlope, ...scores };
}

/** Logits in f32 after the softcap. Frees y. */
function cappedLogits(
  ops: Ops,
  y: Tensor,
  softcap: number | null,
): { readonly z: Tensor; readonly softcapSlope: Tensor | null } {
  if (softcap === null) return { z: castAndFree(ops, y, 'f32'), softcapSlope: null };
  const { y: z, slope } = applySoftcapWithSlope(ops, y, softcap);
  return { z, softcapSlope: slope };
}

/** Frees y. */
async function fusedCrossEntropy(
  ops: Ops,
  fused: FusedOps,
  { y, labels, smoothing }: LabelledLogits,
  wanted: CrossEntropyOutput,
): Promise<Scores> {
  const gains = smoothing === 0 ? null : await smoothingGains(ops, y, { labels, smoothing });
  const indices = ops.upload(labels.slice(), [labels.length]);
  const { p, loss } = fused.crossEntropy(y, indices, wanted);
  const losses = await ops.download(loss);
  ops.free(y, indices, loss);
  return {
    p,
    isGradient: wanted === 'dz',
    softcapSlope: null,
    losses: withGains(losses, gains),
    divergences: null,
  };
}

/** ε (logit of the label - mean of the logits) of each row of z [c, vocab], which is not freed. */
async function smoothingGains(
  ops: Ops,
  z: Tensor,
  { labels, smoothing }: Pick<LabelledLogits, 'labels' | 'smoothing'>,
): Promise<Float64Array> {
  const vocab = z.shape[1]!;
  const places = ops.upload(placesOf(labels), [labels.length, 2]);
  const [ofLabel, sums] = [ops.gatherElements(z, places), ops.sum(z)];
  const [zOfLabel, zSum] = [await ops.download(ofLabel), await ops.download(sums)];
  ops.free(places, ofLabel, sums);
  return Float64Array.from(zOfLabel, (own, i) => smoothing * (own - zSum[i]! / vocab));
}

const withGains = (losses: ArrayLike<number>, gains: Float64Array | null): Float64Array =>
  Float64Array.from(losses, (loss, i) => loss + (gains?.[i] ?? 0));

/** Frees y. */
async function plainCrossEntropy(
  ops: Ops,
  { y, labels, smoothing }: LabelledLogits,
  softcap: number | null,
): Promise<Scores> {
  const { z, softcapSlope } = cappedLogits(ops, y, softcap);
  const p = ops.softmax(z);
  const losses = await crossEntropies(ops, z, p, labels);
  const gains = smoothing === 0 ? null : await smoothingGains(ops, z, { labels, smoothing });
  ops.free(z);
  return {
    p,
    isGradient: false,
    softcapSlope,
    losses: withGains(losses, gains),
    divergences: null,
  };
}

/**
 * dh = p E - E[label] [c, d], for an output layer of which nothing trains; smoothed by ε,
 * (p - ε / vocab) E - (1 - ε) E[label].
 */
function backwardThroughWeight(ops: Ops, output: Linear, chunk: ScoredChunk): Tensor {
  const { p, labels, smoothing } = chunk;
  const indices = ops.upload(labels.slice(), [labels.length]);
  const { weight } = output;
  const rowsOfLabels = thenFree(ops, weight.gather(indices), indices);
  if (smoothing === 0) {
    const mean = matMulBase({ ops, dropout: null }, p, weight, false);
    return thenFree(ops, ops.sub(mean, rowsOfLabels), mean, rowsOfLabels);
  }
  const share = ops.upload(Float32Array.of(smoothing / p.shape[1]!), [1]);
  const apart = thenFree(ops, ops.sub(p, share), share);
  const mean = thenFree(ops, matMulBase({ ops, dropout: null }, apart, weight, false), apart);
  const kept = thenFree(ops, ops.scale(rowsOfLabels, 1 - smoothing), rowsOfLabels);
  return thenFree(ops, ops.sub(mean, kept), mean, kept);
}

/** Each row of a gradient times its weight. Frees the gradient. */
export const timesRows = (ops: Ops, gradient: Tensor, weights: Float32Array): Tensor =>
  thenFree(ops, weighted(ops, gradient, { weights }), gradient);

/** The rows of a gradient, which is not freed, times their weights; itself without weights. */
function weighted(ops: Ops, gradient: Tensor, { weights }: Pick<LabelledRows, 'weights'>): Tensor {
  if (!weights) return gradient;
  const factors = ops.upload(weights.slice(), [weights.length, 1]);
  return thenFree(ops, ops.mul(gradient, factors), factors);
}

/**
 * The terms of dh (none unless `wantsInput`) through dz = p - onehot(label), for an output layer
 * that trains or is adapted, with a softcap or a teacher. dz may be computed already.
 */
async function backwardThroughLogits(
  computation: Computation,
  output: Linear,
  chunk: ScoredChunk,
  wantsInput: boolean,
): Promise<Tensor[]> {
  const { ops } = computation;
  const { h, linear, p, isGradient, softcapSlope } = chunk;
  const isDone = isGradient && (chunk.smoothing === 0 || chunk.teacher !== undefined);
  const dz = isDone ? p : subtractTargets(ops, chunk);
  const scaled = weighted(ops, dz, chunk);
  const dy = softcapSlope ? ops.mul(scaled, softcapSlope) : scaled;
  // p itself is freed by the caller
  for (const inner of new Set([dz, scaled])) if (inner !== p && inner !== dy) ops.free(inner);
  const terms = await linearBackward(computation, output, { dy, x: h, saved: linear }, wantsInput);
  if (dy !== p) ops.free(dy);
  return terms;
}

/**
 * p less the targets [c, vocab]; of a gradient, onehot(label) is subtracted already. Does not free
 * p.
 */
function subtractTargets(
  ops: Ops,
  {
    p,
    labels,
    smoothing,
    isGradient,
  }: Pick<ScoredChunk, 'p' | 'labels' | 'smoothing' | 'isGradient'>,
): Tensor {
  const vocab = p.shape[1]!;
  const numbers = new Float32Array(labels.length * vocab).fill(-smoothing / vocab);
  const ofLabel = smoothing - smoothing / vocab - (isGradient ? 0 : 1);
  labels.forEach((label, i) => (numbers[i * vocab + label] = ofLabel));
  const less = ops.upload(numbers, p.shape);
  return thenFree(ops, ops.add(p, less), less);
}

/** Up to `count` rows of h from `start` on, times the factor of the logits, which have no bias. */
export function headInput(
  ops: Ops,
  { scale }: LmHead,
  h: Tensor,
  { start, count }: { readonly start: number; readonly count: number },
): Tensor {
  const [n, d] = h.shape as [number, number];
  return scaledAndFree(ops, ops.slice(h, [start, 0], [Math.min(count, n - start), d]), scale);
}

const scaledAndFree = (ops: Ops, x: Tensor, factor: number): Tensor =>
  factor === 1 ? x : thenFree(ops, ops.scale(x, factor), x);
