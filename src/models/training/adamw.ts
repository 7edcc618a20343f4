import type { OptimizerSettings } from '../model';
import type { WeightMoments } from '../ops/fusedOps';
import { thenFree, type Ops, type Tensor } from '../ops/ops';

// AdamW (Loshchilov and Hutter 2019, algorithm 2) in the form of torch.optim.AdamW: decay first,
// then theta -= lr / (1 - β1^t) · m / (√v / √(1 - β2^t) + ε).

export const BETA1 = 0.9;
export const BETA2 = 0.999;
export const EPS = 1e-8;

/** The coefficients of step t. */
export interface AdamWStep {
  /** The gradient is multiplied by it first. */
  readonly scale: number;
  /** 1 - lr · weight_decay */
  readonly decay: number;
  /** lr / (1 - β1^t) */
  readonly size: number;
  /** √(1 - β2^t) */
  readonly root: number;
}

/** The coefficients of step t, counted from 1. */
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
 * The factor by which clipping to `max_grad_norm` (0: never) multiplies gradients of this L2 norm,
 * as torch.nn.utils.clip_grad_norm_ does.
 */
export const clipFactor = (norm: number, max_grad_norm: number): number =>
  max_grad_norm > 0 ? Math.min(1, max_grad_norm / (norm + 1e-6)) : 1;

/**
 * A step of a tensor. Takes ownership of the weight and its moments and returns the new ones, which
 * may be the same tensors, changed in place. Does not free the gradient.
 */
export function stepTensors(
  ops: Ops,
  weight: WeightMoments,
  gradient: Tensor,
  step: AdamWStep,
): WeightMoments {
  const { theta, exp_avg, exp_avg_sq } = weight;
  const { scale, decay, size, root } = step;
  if (ops.fused) {
    // struct AdamWStep of src/runtime/kernels
    const numbers = [scale, decay, size, root, 1 - BETA1, BETA2, 1 - BETA2, EPS];
    const coefficients = ops.upload(Float32Array.from(numbers), [numbers.length]);
    ops.fused.adamw(weight, gradient, coefficients);
    ops.free(coefficients);
    return weight;
  }
  const g = ops.scale(gradient, scale);
  const difference = ops.sub(g, exp_avg);
  const change = thenFree(ops, ops.scale(difference, 1 - BETA1), difference);
  const m = addAndFree(ops, exp_avg, change);
  const square = thenFree(ops, ops.mul(g, g), g);
  const newPart = thenFree(ops, ops.scale(square, 1 - BETA2), square);
  const oldPart = thenFree(ops, ops.scale(exp_avg_sq, BETA2), exp_avg_sq);
  const v = addAndFree(ops, oldPart, newPart);
  const deviation = ops.sqrt(v);
  const corrected = thenFree(ops, ops.scale(deviation, 1 / root), deviation);
  const eps = ops.upload(Float32Array.of(EPS), [1]);
  const denominator = addAndFree(ops, corrected, eps);
  const ratio = thenFree(ops, ops.div(m, denominator), denominator);
  const update = thenFree(ops, ops.scale(ratio, -size), ratio);
  const decayed = thenFree(ops, ops.scale(theta, decay), theta);
  return { theta: addAndFree(ops, decayed, update), exp_avg: m, exp_avg_sq: v };
}

const addAndFree = (ops: Ops, a: Tensor, b: Tensor): Tensor => thenFree(ops, ops.add(a, b), a, b);
