import type { Activation } from '../../formats/architecture/spec';
import { thenFree, type Ops, type Tensor } from '../ops/ops';

/** The values y and the slopes dy/dx of an activation at x. */
export interface Activated {
  readonly y: Tensor;
  readonly slope: Tensor;
}

interface ActivationFunction {
  readonly value: (ops: Ops, x: Tensor) => Tensor;
  readonly valueAndSlope: (ops: Ops, x: Tensor) => Activated;
}

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;
const QUICK = 1.702;

/** x · σ(x); slope s + x · s · (1 - s) with s = σ(x). */
const silu: ActivationFunction = {
  value(ops, x) {
    const s = ops.sigmoid(x);
    return thenFree(ops, ops.mul(s, x), s);
  },
  valueAndSlope(ops, x) {
    const s = ops.sigmoid(x);
    const xTimesSlopeOfS = ops.sigmoidGrad(s, x);
    const y = ops.mul(s, x);
    return { y, slope: thenFree(ops, ops.add(s, xTimesSlopeOfS), s, xTimesSlopeOfS) };
  },
};

/** x · Φ(x); slope Φ + x · φ, with the normal distribution Φ and its density φ. */
const gelu: ActivationFunction = {
  value(ops, x) {
    const phi = normalDistribution(ops, x);
    return thenFree(ops, ops.mul(phi, x), phi);
  },
  valueAndSlope(ops, x) {
    const phi = normalDistribution(ops, x);
    const square = ops.mul(x, x);
    const exponent = thenFree(ops, ops.scale(square, -0.5), square);
    const bell = thenFree(ops, ops.exp(exponent), exponent);
    const density = thenFree(ops, ops.scale(bell, 1 / Math.sqrt(2 * Math.PI)), bell);
    const xTimesDensity = thenFree(ops, ops.mul(x, density), density);
    const y = ops.mul(phi, x);
    return { y, slope: thenFree(ops, ops.add(phi, xTimesDensity), phi, xTimesDensity) };
  },
};

/** x · h with h = (1 + tanh u) / 2, u = √(2/π) (x + 0.044715 x³); slope h + x · dh/dx. */
const geluTanh: ActivationFunction = {
  value(ops, x) {
    const square = ops.mul(x, x);
    const half = thenFree(ops, halfOnePlusTanh(ops, x, square), square);
    return thenFree(ops, ops.mul(half, x), half);
  },
  valueAndSlope(ops, x) {
    const square = ops.mul(x, x);
    const half = halfOnePlusTanh(ops, x, square);
    const du = affine(ops, square, 3 * CUBIC * SQRT_2_OVER_PI, SQRT_2_OVER_PI); // du/dx
    const oneMinusHalf = affine(ops, half, -1, 1);
    const product = thenFree(ops, ops.mul(half, oneMinusHalf), oneMinusHalf); // (1 - tanh² u) / 4
    const halfSlope = thenFree(ops, ops.mul(product, du), product, du); // dh/dx / 2
    const halfXSlope = thenFree(ops, ops.mul(halfSlope, x), halfSlope);
    const xSlope = thenFree(ops, ops.scale(halfXSlope, 2), halfXSlope);
    ops.free(square);
    const y = ops.mul(half, x);
    return { y, slope: thenFree(ops, ops.add(half, xSlope), half, xSlope) };
  },
};

/** x · σ(1.702 x); slope s + 1.702 x · s · (1 - s) with s = σ(1.702 x). */
const quickGelu: ActivationFunction = {
  value(ops, x) {
    const scaled = ops.scale(x, QUICK);
    const s = thenFree(ops, ops.sigmoid(scaled), scaled);
    return thenFree(ops, ops.mul(s, x), s);
  },
  valueAndSlope(ops, x) {
    const scaled = ops.scale(x, QUICK);
    const s = ops.sigmoid(scaled);
    const xTimesSlopeOfS = thenFree(ops, ops.sigmoidGrad(s, scaled), scaled);
    const y = ops.mul(s, x);
    return { y, slope: thenFree(ops, ops.add(s, xTimesSlopeOfS), s, xTimesSlopeOfS) };
  },
};

const relu: ActivationFunction = {
  value: (ops, x) => ops.relu(x),
  valueAndSlope: (ops, x) => ({ y: ops.relu(x), slope: ops.positive(x) }),
};

const tanh: ActivationFunction = {
  value: (ops, x) => ops.tanh(x),
  valueAndSlope(ops, x) {
    const y = ops.tanh(x);
    const square = ops.mul(y, y);
    return { y, slope: thenFree(ops, affine(ops, square, -1, 1), square) };
  },
};

/** SiLU: Elfwing et al. 2017; GELU and its approximation: Hendrycks and Gimpel 2016. */
const FUNCTIONS: Readonly<Record<Activation, ActivationFunction>> = {
  silu,
  gelu,
  gelu_tanh: geluTanh,
  quick_gelu: quickGelu,
  relu,
  tanh,
};

/** The activation of x, elementwise. x is not freed. */
export const applyActivation = (ops: Ops, kind: Activation, x: Tensor): Tensor =>
  FUNCTIONS[kind].value(ops, x);

/** The activation of x and its slope, for the backward pass. x is not freed. */
export const applyActivationWithSlope = (ops: Ops, kind: Activation, x: Tensor): Activated =>
  FUNCTIONS[kind].valueAndSlope(ops, x);

/** softcap · tanh(x / softcap) (Gemma 2). Frees x. */
export function applySoftcap(ops: Ops, x: Tensor, softcap: number): Tensor {
  const ratio = thenFree(ops, ops.scale(x, 1 / softcap), x);
  const t = thenFree(ops, ops.tanh(ratio), ratio);
  return thenFree(ops, ops.scale(t, softcap), t);
}

/** The same with its gradient 1 - tanh²(x / softcap). Frees x. */
export function applySoftcapWithSlope(ops: Ops, x: Tensor, softcap: number): Activated {
  const ratio = thenFree(ops, ops.scale(x, 1 / softcap), x);
  const { y: t, slope } = tanh.valueAndSlope(ops, ratio);
  return { y: thenFree(ops, ops.scale(t, softcap), t, ratio), slope };
}

/** factor · x + shift */
function affine(ops: Ops, x: Tensor, factor: number, shift: number): Tensor {
  const scaled = ops.scale(x, factor);
  const constant = ops.upload(Float32Array.of(shift), [1]);
  return thenFree(ops, ops.add(scaled, constant), scaled, constant);
}

/** Φ(x) = (1 + erf(x / √2)) / 2 */
function normalDistribution(ops: Ops, x: Tensor): Tensor {
  const scaled = ops.scale(x, Math.SQRT1_2);
  const erf = thenFree(ops, ops.erf(scaled), scaled);
  return thenFree(ops, affine(ops, erf, 0.5, 0.5), erf);
}

/** (1 + tanh u) / 2, given x and its square. */
function halfOnePlusTanh(ops: Ops, x: Tensor, square: Tensor): Tensor {
  const factor = affine(ops, square, CUBIC * SQRT_2_OVER_PI, SQRT_2_OVER_PI);
  const u = thenFree(ops, ops.mul(factor, x), factor);
  const t = thenFree(ops, ops.tanh(u), u);
  return thenFree(ops, affine(ops, t, 0.5, 0.5), t);
}
