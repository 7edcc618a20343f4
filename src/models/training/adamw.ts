import { thenFree, type Ops, type Tensor } from '../ops/ops';
import type { Parameters } from './parameters';
import type { OptimizerSettings } from '../model';

// AdamW (Loshchilov and Hutter 2019, algorithm 2) in the form of torch.optim.AdamW: decay first,
// then theta -= lr / (1 - β1^t) · m / (√v / √(1 - β2^t) + ε).

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPS = 1e-8;

/** The numbers of step t, counted from 1. */
export interface AdamWStep {
  /** What the gradient is multiplied with before. */
  readonly scale: number;
  readonly decay: number;
  readonly size: number;
  readonly root: number;
}

export function adamWStep(
  t: number,
  { learning_rate, weight_decay }: Pick<OptimizerSettings, 'learning_rate' | 'weight_decay'>,
  scale = 1,
): AdamWStep {
  return {
    scale,
    decay: 1 - learning_rate * weight_decay,
    size: learning_rate / (1 - BETA1 ** t),
    root: Math.sqrt(1 - BETA2 ** t),
  };
}

/**
 * What clipping to `max_grad_norm` (0: never) multiplies gradients of this L2 norm with, as
 * torch.nn.utils.clip_grad_norm_ does.
 */
export const clipFactor = (norm: number, max_grad_norm: number): number =>
  max_grad_norm > 0 ? Math.min(1, max_grad_norm / (norm + 1e-6)) : 1;

/** Numbers, their gradients and AdamW's two moments, of one length. */
export interface FlatMoments extends Pick<Parameters, 'theta' | 'gradients'> {
  readonly exp_avg: Float32Array;
  readonly exp_avg_sq: Float32Array;
}

/** A step of the numbers from `start` to `end`, in place. */
export function stepRange(
  { theta, gradients, exp_avg: m, exp_avg_sq: v }: FlatMoments,
  start: number,
  end: number,
  { scale, decay, size, root }: AdamWStep,
): void {
  for (let i = start; i < end; i++) {
    const g = gradients[i]! * scale;
    const mean = m[i]! + (1 - BETA1) * (g - m[i]!);
    const square = BETA2 * v[i]! + (1 - BETA2) * g * g;
    m[i] = mean;
    v[i] = square;
    theta[i] = theta[i]! * decay - (size * mean) / (Math.sqrt(square) / root + EPS);
  }
}

/** Tensors of one size. */
export interface TensorMoments {
  readonly theta: Tensor;
  readonly exp_avg: Tensor;
  readonly exp_avg_sq: Tensor;
}

/**
 * The same on tensors, which it takes over, but for the gradient; the new ones may be the same,
 * changed.
 */
export function stepTensors(
  ops: Ops,
  moments: TensorMoments,
  gradient: Tensor,
  step: AdamWStep,
): TensorMoments {
  const { theta, exp_avg, exp_avg_sq } = moments;
  const { scale, decay, size, root } = step;
  if (ops.fused) {
    const numbers = ops.upload(
      Float32Array.of(scale, decay, size, root, 1 - BETA1, BETA2, 1 - BETA2, EPS),
      [8],
    );
    ops.fused.adamw(theta, gradient, exp_avg, exp_avg_sq, numbers);
    ops.free(numbers);
    return moments;
  }
  const g = ops.scale(gradient, scale);
  const apart = ops.sub(g, exp_avg);
  const m = sum(ops, exp_avg, thenFree(ops, ops.scale(apart, 1 - BETA1), apart));
  const square = thenFree(ops, ops.mul(g, g), g);
  const kept = thenFree(ops, ops.scale(exp_avg_sq, BETA2), exp_avg_sq);
  const v = sum(ops, kept, thenFree(ops, ops.scale(square, 1 - BETA2), square));
  const deviation = ops.sqrt(v);
  const scaled = thenFree(ops, ops.scale(deviation, 1 / root), deviation);
  const eps = ops.upload(Float32Array.of(EPS), [1]);
  const below = sum(ops, scaled, eps);
  const ratio = thenFree(ops, ops.div(m, below), below);
  const decayed = thenFree(ops, ops.scale(theta, decay), theta);
  return {
    exp_avg: m,
    exp_avg_sq: v,
    theta: sum(ops, decayed, thenFree(ops, ops.scale(ratio, -size), ratio)),
  };
}

const sum = (ops: Ops, a: Tensor, b: Tensor): Tensor => thenFree(ops, ops.add(a, b), a, b);
