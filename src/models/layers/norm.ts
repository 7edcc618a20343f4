import type { WeightTensor } from '../weightTensor';
import {
  columnSums,
  castAndFree,
  thenFree,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';

/**
 * rms: h = x · r · w with r = 1 / √(mean(x²) + eps). layer: h = (x - mean) · r · w + b with r = 1 /
 * √(var(x) + eps).
 */
export interface Norm {
  readonly kind: 'rms' | 'layer';
  /** [d] */
  readonly weight: WeightTensor;
  /** [d], 1 added where the weight counts from 1; `weight` itself elsewhere. */
  readonly scale: () => Tensor;
  readonly bias: WeightTensor | null;
  readonly eps: number;
}

export interface NormStats {
  readonly r: Tensor; // [n, 1]
  readonly mean: Tensor | null; // [n, 1]
}

export const statsTensors = ({ r, mean }: NormStats): Tensor[] => (mean ? [r, mean] : [r]);
export const isNormTrained = (norm: Norm | null): boolean =>
  Boolean(norm?.weight.gradientSink ?? norm?.bias?.gradientSink);

export function normForward(
  ops: Ops,
  norm: Norm,
  x: Tensor,
  dtype: Precision = 'f32',
): { h: Tensor; stats: NormStats } {
  if (ops.fused && isPlainRms(norm, x)) {
    const { h, r } = ops.fused.rms(x, norm.scale(), norm.eps, dtype);
    return { h, stats: { r, mean: null } };
  }
  const stats = statsOf(ops, norm, x);
  return { h: recomputeNorm(ops, norm, x, stats, dtype), stats };
}

const isPlainRms = (norm: Norm, x: Tensor): boolean =>
  norm.kind === 'rms' && norm.bias === null && x.dtype === 'f32';

function statsOf(ops: Ops, norm: Norm, x: Tensor): NormStats {
  if (norm.kind === 'rms') return { r: ops.rms(x, norm.eps), mean: null };
  const mean = meanOf(ops, x);
  const centred = ops.sub(x, mean);
  return { r: thenFree(ops, ops.rms(centred, norm.eps), centred), mean };
}

/** h from x and its statistics. */
export function recomputeNorm(
  ops: Ops,
  norm: Norm,
  x: Tensor,
  stats: NormStats,
  dtype: Precision = 'f32',
): Tensor {
  if (ops.fused && isPlainRms(norm, x)) {
    const { h, r } = ops.fused.rms(x, norm.scale(), norm.eps, dtype);
    return thenFree(ops, h, r);
  }
  const unit = unitOf(ops, x, stats);
  const scaled = thenFree(ops, ops.mul(unit, norm.scale()), unit);
  return castAndFree(
    ops,
    norm.bias ? thenFree(ops, ops.add(scaled, norm.bias.tensor), scaled) : scaled,
    dtype,
  );
}

/** x with mean 0 (layer) and mean square 1. */
function unitOf(ops: Ops, x: Tensor, { r, mean }: NormStats): Tensor {
  if (!mean) return ops.mul(x, r);
  const centred = ops.sub(x, mean);
  return thenFree(ops, ops.mul(centred, r), centred);
}

/**
 * dx + residual. rms, with g = dh · w: dx = r · g - x · r³ · mean(g · x). layer, with u the unit
 * vector: dx = r · (g - mean(g) - u · mean(g · u)).
 */
export async function normBackward(
  ops: Ops,
  norm: Norm,
  x: Tensor,
  stats: NormStats,
  dh: Tensor,
  residual: Tensor | null,
): Promise<Tensor> {
  await trainNorm(ops, norm, x, stats, dh);
  if (ops.fused && isPlainRms(norm, x))
    return ops.fused.rmsGrad(x, stats.r, norm.scale(), dh, residual);
  const g = ops.mul(dh, norm.scale()); // [n, d]
  return norm.kind === 'rms'
    ? rmsBackward(ops, x, stats.r, g, residual)
    : layerBackward(ops, x, stats, g, residual);
}

/**
 * The way back from a branch's first layer to its input x: dh, which is freed, through the norm if
 * there is one, plus the residual.
 */
export async function branchInputGradient(
  ops: Ops,
  norm: Norm | null,
  x: Tensor,
  stats: NormStats | null,
  dh: Tensor,
  residual: Tensor | null,
): Promise<Tensor> {
  if (norm && stats)
    return thenFree(ops, await normBackward(ops, norm, x, stats, dh, residual), dh);
  return residual ? thenFree(ops, ops.add(dh, residual), dh) : dh;
}

function rmsBackward(ops: Ops, x: Tensor, r: Tensor, g: Tensor, residual: Tensor | null): Tensor {
  const gx = ops.mul(g, x);
  const dot = thenFree(ops, meanOf(ops, gx), gx); // [n, 1]
  const square = ops.mul(r, r);
  const cube = thenFree(ops, ops.mul(square, r), square);
  const product = thenFree(ops, ops.mul(cube, dot), cube, dot);
  const factor = thenFree(ops, ops.scale(product, -1), product);
  const direct = thenFree(ops, ops.mul(g, r), g);
  const through = thenFree(ops, ops.mul(x, factor), factor);
  return addAll(ops, [direct, through], residual);
}

function layerBackward(
  ops: Ops,
  x: Tensor,
  stats: NormStats,
  g: Tensor,
  residual: Tensor | null,
): Tensor {
  const unit = unitOf(ops, x, stats);
  const gu = ops.mul(g, unit);
  const along = thenFree(ops, meanOf(ops, gu), gu); // [n, 1]
  const through = thenFree(ops, ops.mul(unit, along), unit, along);
  const mean = meanOf(ops, g);
  const centred = thenFree(ops, ops.sub(g, mean), g, mean);
  const rest = thenFree(ops, ops.sub(centred, through), centred, through);
  return addAll(ops, [thenFree(ops, ops.mul(rest, stats.r), rest)], residual);
}

async function trainNorm(
  ops: Ops,
  norm: Norm,
  x: Tensor,
  stats: NormStats,
  dh: Tensor,
): Promise<void> {
  const add = async (held: WeightTensor | null, make: () => Tensor) => {
    if (!held?.gradientSink) return;
    const product = make();
    await held.gradientSink.accumulate(columnSums(ops, product));
    if (product !== dh) ops.free(product);
  };
  await add(norm.bias, () => dh);
  await add(norm.weight, () => {
    const unit = unitOf(ops, x, stats);
    return thenFree(ops, ops.mul(dh, unit), unit);
  });
}

/** Over the last axis, which stays with length 1. */
function meanOf(ops: Ops, x: Tensor): Tensor {
  const sum = ops.sum(x);
  return thenFree(ops, ops.scale(sum, 1 / x.shape.at(-1)!), sum);
}

function addAll(ops: Ops, terms: readonly Tensor[], residual: Tensor | null): Tensor {
  const all = residual ? [...terms, residual] : terms;
  if (all.length === 1) return all[0]!;
  const sum = all.length === 2 ? ops.add(all[0]!, all[1]!) : ops.addN(all);
  ops.free(...terms);
  return sum;
}
