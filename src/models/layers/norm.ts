import type { NormSpec } from '../../formats/architecture/spec';
import {
  castAndFree,
  columnDots,
  columnSums,
  thenFree,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';
import type { DenseWeight } from '../weightTensor';

/**
 * rms (RMSNorm, Zhang and Sennrich 2019): h = x · r · w with r = 1 / √(mean(x²) + eps). layer
 * (LayerNorm, Ba et al. 2016): h = (x - mean) · r · w + b with r = 1 / √(var(x) + eps). scale
 * (LayerScale, Touvron et al. 2021): h = x · w, with r = 1.
 */
export interface Norm {
  readonly kind: NormSpec['kind'];
  readonly weight: DenseWeight; // [d]
  /** The factor w [d]: the weight, or 1 + weight for families that store it as an offset from 1. */
  readonly scale: () => Tensor;
  readonly bias: DenseWeight | null; // [d]
  readonly eps: number;
}

export interface NormStats {
  readonly r: Tensor; // [n, 1], or [1, 1]
  readonly mean: Tensor | null; // [n, 1]
}

/** A norm's input and its statistics, which the backward pass needs. */
export interface NormSaved {
  readonly x: Tensor; // [n, d]
  readonly stats: NormStats;
}

export const statsTensors = ({ r, mean }: NormStats): Tensor[] => (mean ? [r, mean] : [r]);

export const isNormTrained = (norm: Norm | null): boolean =>
  Boolean(norm?.weight.gradientSink ?? norm?.bias?.gradientSink);

/** The norm h of x [n, d] in `dtype`, and its statistics; x is not freed. */
export function normForward(
  ops: Ops,
  norm: Norm,
  x: Tensor,
  dtype: Precision = 'f32',
): { readonly h: Tensor; readonly stats: NormStats } {
  if (ops.fused && isPlainRms(norm, x)) {
    const { h, r } = ops.fused.rms(x, norm.scale(), norm.eps, dtype);
    return { h, stats: { r, mean: null } };
  }
  const stats = computeStats(ops, norm, x);
  return { h: recomputeNorm(ops, norm, { x, stats }, dtype), stats };
}

/** Whether the fused kernels can compute it. */
const isPlainRms = (norm: Norm, x: Tensor): boolean =>
  norm.kind === 'rms' && norm.bias === null && x.dtype === 'f32';

function computeStats(ops: Ops, norm: Norm, x: Tensor): NormStats {
  if (norm.kind === 'scale') return { r: ops.upload(Float32Array.of(1), [1, 1]), mean: null };
  if (norm.kind === 'rms') return { r: ops.rms(x, norm.eps), mean: null };
  const mean = meanOfRows(ops, x);
  const centred = ops.sub(x, mean);
  return { r: thenFree(ops, ops.rms(centred, norm.eps), centred), mean };
}

/** h again, from x and its statistics, for the backward pass. */
export function recomputeNorm(
  ops: Ops,
  norm: Norm,
  { x, stats }: NormSaved,
  dtype: Precision = 'f32',
): Tensor {
  if (ops.fused && isPlainRms(norm, x)) {
    const { h, r } = ops.fused.rms(x, norm.scale(), norm.eps, dtype);
    return thenFree(ops, h, r);
  }
  const unit = normalize(ops, { x, stats });
  const scaled = thenFree(ops, ops.mul(unit, norm.scale()), unit);
  const h = norm.bias ? thenFree(ops, ops.add(scaled, norm.bias.tensor), scaled) : scaled;
  return castAndFree(ops, h, dtype);
}

/** x with mean 0 (LayerNorm) and mean square 1. */
function normalize(ops: Ops, { x, stats: { r, mean } }: NormSaved): Tensor {
  if (!mean) return ops.mul(x, r);
  const centred = ops.sub(x, mean);
  return thenFree(ops, ops.mul(centred, r), centred);
}

/** Gradient of a norm's output, and what is added to the gradient of its input. */
export interface NormGradient {
  readonly dh: Tensor; // [n, d]
  readonly residual: Tensor | null; // [n, d]
}

/**
 * dx + residual; accumulates the gradients of weight and bias. With g = dh · w, and for LayerNorm u
 * = (x - mean) · r: rms: dx = r · g - x · r³ · mean(g · x); layer: dx = r · (g - mean(g) - u ·
 * mean(g · u)); scale: dx = g. Frees none of its inputs.
 */
export async function normBackward(
  ops: Ops,
  norm: Norm,
  saved: NormSaved,
  { dh, residual }: NormGradient,
): Promise<Tensor> {
  const { x, stats } = saved;
  await accumulateNormGradients(ops, norm, saved, dh);
  if (ops.fused && isPlainRms(norm, x)) {
    return ops.fused.rmsGrad({ x, r: stats.r }, norm.scale(), dh, residual);
  }
  const g = ops.mul(dh, norm.scale()); // [n, d]
  return addResidual(ops, inputTerms(ops, norm, saved, g), residual);
}

/** The terms of dx. Frees g, or returns it. */
function inputTerms(ops: Ops, { kind }: Norm, saved: NormSaved, g: Tensor): Tensor[] {
  switch (kind) {
    case 'rms':
      return rmsBackward(ops, saved, g);
    case 'layer':
      return [layerNormBackward(ops, saved, g)];
    case 'scale':
      return [g];
  }
}

/** `normBackward` without a residual. Frees dh. */
export async function normBackwardAndFree(
  ops: Ops,
  norm: Norm,
  saved: NormSaved,
  dh: Tensor,
): Promise<Tensor> {
  return thenFree(ops, await normBackward(ops, norm, saved, { dh, residual: null }), dh);
}

/**
 * From the gradient dh of a branch's first layer to that of the branch's input x: through its norm,
 * if it has one, plus the residual. Frees dh.
 */
export async function branchInputGradient(
  ops: Ops,
  norm: Norm | null,
  { x, stats }: { readonly x: Tensor; readonly stats: NormStats | null },
  gradient: NormGradient,
): Promise<Tensor> {
  const { dh, residual } = gradient;
  if (norm && stats) {
    return thenFree(ops, await normBackward(ops, norm, { x, stats }, gradient), dh);
  }
  return residual ? thenFree(ops, ops.add(dh, residual), dh) : dh;
}

/** The two terms of dx. Frees g. */
function rmsBackward(ops: Ops, { x, stats: { r } }: NormSaved, g: Tensor): Tensor[] {
  const gx = ops.mul(g, x);
  const dot = thenFree(ops, meanOfRows(ops, gx), gx); // [n, 1]
  const square = ops.mul(r, r);
  const cube = thenFree(ops, ops.mul(square, r), square);
  const product = thenFree(ops, ops.mul(cube, dot), cube, dot);
  const factor = thenFree(ops, ops.scale(product, -1), product);
  const direct = thenFree(ops, ops.mul(g, r), g);
  return [direct, thenFree(ops, ops.mul(x, factor), factor)];
}

/** dx. Frees g. */
function layerNormBackward(ops: Ops, saved: NormSaved, g: Tensor): Tensor {
  const unit = normalize(ops, saved);
  const gu = ops.mul(g, unit);
  const projection = thenFree(ops, meanOfRows(ops, gu), gu); // [n, 1]
  const parallel = thenFree(ops, ops.mul(unit, projection), unit, projection);
  const mean = meanOfRows(ops, g);
  const centred = thenFree(ops, ops.sub(g, mean), g, mean);
  const orthogonal = thenFree(ops, ops.sub(centred, parallel), centred, parallel);
  return thenFree(ops, ops.mul(orthogonal, saved.stats.r), orthogonal);
}

async function accumulateNormGradients(
  ops: Ops,
  { weight, bias }: Norm,
  saved: NormSaved,
  dh: Tensor,
): Promise<void> {
  if (bias?.gradientSink) await bias.gradientSink.accumulate(columnSums(ops, dh));
  if (!weight.gradientSink) return;
  const unit = normalize(ops, saved);
  await weight.gradientSink.accumulate(thenFree(ops, columnDots(ops, dh, unit), unit));
}

/** Over the last axis, which keeps length 1. */
function meanOfRows(ops: Ops, x: Tensor): Tensor {
  const sum = ops.sum(x);
  return thenFree(ops, ops.scale(sum, 1 / x.shape.at(-1)!), sum);
}

/** Frees the terms, but not the residual. */
function addResidual(ops: Ops, terms: readonly Tensor[], residual: Tensor | null): Tensor {
  const all = residual ? [...terms, residual] : terms;
  if (all.length === 1) return all[0]!;
  const sum = all.length === 2 ? ops.add(all[0]!, all[1]!) : ops.addN(all);
  return thenFree(ops, sum, ...terms);
}
