import type { Activation } from '../../formats/architecture/spec';
import { thenFree, type Ops, type Tensor } from '../ops/ops';

/** Values and, for the backward pass, slopes of an activation at x. */
export interface Activated {
  readonly y: Tensor;
  readonly slope: Tensor;
}

interface Curve {
  readonly value: (ops: Ops, x: Tensor) => Tensor;
  readonly both: (ops: Ops, x: Tensor) => Activated;
}

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const CUBE = 0.044715;

const CURVES: Readonly<Record<Activation, Curve>> = {
  /** x · σ(x); slope s + x · s · (1 - s) */
  silu: {
    value(ops, x) {
      const s = ops.sigmoid(x);
      return thenFree(ops, ops.mul(s, x), s);
    },
    both(ops, x) {
      const s = ops.sigmoid(x);
      const bend = ops.sigmoidGrad(s, x);
      return { y: ops.mul(s, x), slope: thenFree(ops, ops.add(s, bend), s, bend) };
    },
  },
  /** x · Φ(x); slope Φ + x · φ (Hendrycks and Gimpel 2016) */
  gelu: {
    value(ops, x) {
      const phi = distribution(ops, x);
      return thenFree(ops, ops.mul(phi, x), phi);
    },
    both(ops, x) {
      const phi = distribution(ops, x);
      const square = ops.mul(x, x);
      const half = thenFree(ops, ops.scale(square, -0.5), square);
      const bell = thenFree(ops, ops.exp(half), half);
      const density = thenFree(ops, ops.scale(bell, 1 / Math.sqrt(2 * Math.PI)), bell);
      const bend = thenFree(ops, ops.mul(x, density), density);
      return { y: ops.mul(phi, x), slope: thenFree(ops, ops.add(phi, bend), phi, bend) };
    },
  },
  /** x · (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³) */
  gelu_tanh: {
    value(ops, x) {
      const half = halfOnePlusTanh(ops, x).half;
      return thenFree(ops, ops.mul(half, x), half);
    },
    both(ops, x) {
      const { half, square } = halfOnePlusTanh(ops, x, true);
      const du = affine(ops, square!, 3 * CUBE * SQRT_2_OVER_PI, SQRT_2_OVER_PI); // du/dx
      const rest = affine(ops, half, -1, 1);
      const steep = thenFree(ops, ops.mul(half, rest), rest); // (1 - tanh² u) / 4
      const bent = thenFree(ops, ops.mul(steep, du), steep, du);
      const byX = thenFree(ops, ops.mul(bent, x), bent);
      const bend = thenFree(ops, ops.scale(byX, 2), byX);
      ops.free(square!);
      return { y: ops.mul(half, x), slope: thenFree(ops, ops.add(half, bend), half, bend) };
    },
  },
  relu: {
    value: (ops, x) => ops.relu(x),
    both: (ops, x) => ({ y: ops.relu(x), slope: ops.positive(x) }),
  },
  tanh: {
    value: (ops, x) => ops.tanh(x),
    both(ops, x) {
      const y = ops.tanh(x);
      const square = ops.mul(y, y);
      return { y, slope: thenFree(ops, affine(ops, square, -1, 1), square) };
    },
  },
};

export const applyActivation = (ops: Ops, kind: Activation, x: Tensor): Tensor =>
  CURVES[kind].value(ops, x);
export const applyActivationWithSlope = (ops: Ops, kind: Activation, x: Tensor): Activated =>
  CURVES[kind].both(ops, x);

/** factor · x + shift */
function affine(ops: Ops, x: Tensor, factor: number, shift: number): Tensor {
  const scaled = ops.scale(x, factor);
  const constant = ops.upload(Float32Array.of(shift), [1]);
  return thenFree(ops, ops.add(scaled, constant), scaled, constant);
}

/** Φ(x) = (1 + erf(x / √2)) / 2 */
function distribution(ops: Ops, x: Tensor): Tensor {
  const scaled = ops.scale(x, Math.SQRT1_2);
  const erf = thenFree(ops, ops.erf(scaled), scaled);
  return thenFree(ops, affine(ops, erf, 0.5, 0.5), erf);
}

/** (1 + tanh u) / 2, and x² where it is wanted. */
function halfOnePlusTanh(
  ops: Ops,
  x: Tensor,
  withSquare = false,
): { half: Tensor; square: Tensor | null } {
  const square = ops.mul(x, x);
  const factor = affine(ops, square, CUBE * SQRT_2_OVER_PI, SQRT_2_OVER_PI);
  const u = thenFree(ops, ops.mul(factor, x), factor);
  const t = thenFree(ops, ops.tanh(u), u);
  const half = thenFree(ops, affine(ops, t, 0.5, 0.5), t);
  if (withSquare) return { half, square };
  ops.free(square);
  return { half, square: null };
}
