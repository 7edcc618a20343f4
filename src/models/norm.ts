import { use, type Ops, type Tensor } from './ops/types';

/** RMSNorm (Zhang and Sennrich 2019): h = x · r · w with r = 1 / √(mean(x²) + eps). */
export interface Norm {
  readonly weight: Tensor; // [d]
  readonly eps: number;
}

export function normForward(ops: Ops, norm: Norm, x: Tensor): { h: Tensor; r: Tensor } {
  const r = ops.rms(x, norm.eps); // [n, 1]
  return { h: normAgain(ops, norm, x, r), r };
}

/** h from x and r. */
export function normAgain(ops: Ops, norm: Norm, x: Tensor, r: Tensor): Tensor {
  const scaled = ops.mul(x, r);
  return use(ops, ops.mul(scaled, norm.weight), scaled);
}

/** dx + residual, with g = dh · w: dx = r · g - x · r³ · sum(g · x) / d. Frees dh. */
export function normBackward(ops: Ops, norm: Norm, x: Tensor, r: Tensor, dh: Tensor, residual: Tensor | null): Tensor {
  const g = use(ops, ops.mul(dh, norm.weight), dh); // [n, d]
  const gx = ops.mul(g, x);
  const dot = use(ops, ops.sum(gx), gx); // [n, 1]
  const factor = minusCubeOver(ops, r, dot, x.shape.at(-1)!);
  const direct = use(ops, ops.mul(g, r), g);
  const through = use(ops, ops.mul(x, factor), factor);
  return use(ops, residual ? ops.addN([direct, through, residual]) : ops.add(direct, through), direct, through);
}

/** -r³ · dot / d; frees dot. [n, 1] */
function minusCubeOver(ops: Ops, r: Tensor, dot: Tensor, d: number): Tensor {
  const minus = ops.upload(Float32Array.of(-1 / d), [1, 1]);
  const square = ops.mul(r, r);
  const cube = use(ops, ops.mul(square, r), square);
  const product = use(ops, ops.mul(cube, dot), cube, dot);
  return use(ops, ops.mul(product, minus), product, minus);
}
