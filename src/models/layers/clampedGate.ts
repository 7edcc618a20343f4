import type { ClampedGate } from '../../formats/architecture/spec';
import { thenFree, withF32, type Ops, type Tensor } from '../ops/ops';

// gpt-oss's gate: m = (u + 1) · g · σ(alpha · g) with g = min(gate, limit) and u = up within
// ± limit. Where a value is cut off, its gradient is 0.

/** A value within its limits, and 1 where it is not cut off, else 0. */
interface Clamped {
  readonly value: Tensor;
  readonly mask: Tensor;
}

interface Parts {
  readonly gate: Clamped;
  readonly up: Clamped;
  /** u + 1 */
  readonly shifted: Tensor;
  /** σ(alpha · g) */
  readonly sigmoid: Tensor;
}

function plus(ops: Ops, x: Tensor, number: number): Tensor {
  const constant = ops.upload(Float32Array.of(number), [1]);
  return thenFree(ops, ops.add(x, constant), constant);
}

/** 1 where x < limit. */
function isBelow(ops: Ops, x: Tensor, limit: number): Tensor {
  const negative = ops.scale(x, -1);
  const rest = thenFree(ops, plus(ops, negative, limit), negative);
  return thenFree(ops, ops.positive(rest), rest);
}

function clampAbove(ops: Ops, x: Tensor, limit: number): Clamped {
  const mask = isBelow(ops, x, limit);
  const inside = ops.mul(x, mask);
  const scaled = ops.scale(mask, -limit);
  const outside = thenFree(ops, plus(ops, scaled, limit), scaled);
  return { value: thenFree(ops, ops.add(inside, outside), inside, outside), mask };
}

function clampBoth(ops: Ops, x: Tensor, limit: number): Clamped {
  const below = isBelow(ops, x, limit);
  const shifted = plus(ops, x, limit);
  const above = thenFree(ops, ops.positive(shifted), shifted);
  const mask = ops.mul(below, above);
  const inside = ops.mul(x, mask);
  const difference = thenFree(ops, ops.sub(above, below), above, below);
  const outside = thenFree(ops, ops.scale(difference, limit), difference);
  return { value: thenFree(ops, ops.add(inside, outside), inside, outside), mask };
}

function partsOf(ops: Ops, { alpha, limit }: ClampedGate, x: Tensor, y: Tensor): Parts {
  const gate = withF32(ops, x, (wide) => clampAbove(ops, wide, limit));
  const up = withF32(ops, y, (wide) => clampBoth(ops, wide, limit));
  const scaled = ops.scale(gate.value, alpha);
  const sigmoid = thenFree(ops, ops.sigmoid(scaled), scaled);
  return { gate, up, shifted: plus(ops, up.value, 1), sigmoid };
}

function freeParts(ops: Ops, { gate, up, shifted, sigmoid }: Parts): void {
  ops.free(gate.value, gate.mask, up.value, up.mask, shifted, sigmoid);
}

function productOf(ops: Ops, { gate, shifted, sigmoid }: Parts): Tensor {
  const glu = ops.mul(gate.value, sigmoid);
  return thenFree(ops, ops.mul(shifted, glu), glu);
}

/** m [n, width]. Frees neither. */
export function clampedForward(ops: Ops, clamp: ClampedGate, gate: Tensor, up: Tensor): Tensor {
  const parts = partsOf(ops, clamp, gate, up);
  const m = productOf(ops, parts);
  freeParts(ops, parts);
  return m;
}

/** m again, and the gradients of gate and up for that of m, which is not freed. */
export function clampedBackward(
  ops: Ops,
  clamp: ClampedGate,
  gate: Tensor,
  up: Tensor,
): {
  readonly m: Tensor;
  readonly backward: (dm: Tensor) => { readonly gate: Tensor; readonly up: Tensor };
  readonly free: () => void;
} {
  const parts = partsOf(ops, clamp, gate, up);
  return {
    m: productOf(ops, parts),
    backward: (dm) => ({
      gate: gateGradient(ops, clamp, parts, dm),
      up: upGradient(ops, parts, dm),
    }),
    free: () => freeParts(ops, parts),
  };
}

/** dm · (u + 1) · (σ + alpha · g · σ · (1 - σ)) */
function gateGradient(ops: Ops, { alpha }: ClampedGate, parts: Parts, dm: Tensor): Tensor {
  const { gate, shifted, sigmoid } = parts;
  const bent = ops.sigmoidGrad(sigmoid, gate.value);
  const scaled = thenFree(ops, ops.scale(bent, alpha), bent);
  const slope = thenFree(ops, ops.add(sigmoid, scaled), scaled);
  const ofUp = thenFree(ops, ops.mul(slope, shifted), slope);
  const d = thenFree(ops, ops.mul(ofUp, dm), ofUp);
  return thenFree(ops, ops.mul(d, gate.mask), d);
}

/** dm · g · σ */
function upGradient(ops: Ops, { gate, up, sigmoid }: Parts, dm: Tensor): Tensor {
  const glu = ops.mul(gate.value, sigmoid);
  const d = thenFree(ops, ops.mul(glu, dm), glu);
  return thenFree(ops, ops.mul(d, up.mask), d);
}
