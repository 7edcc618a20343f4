import { use, widened, type Ops, type Tensor } from './ops/types';
import type { HeadLayout } from './rope';

/** RMSNorm of queries and keys before they are rotated: over each head's numbers, or over all heads' at once. */
export interface QkNorm {
  readonly over: 'head' | 'all';
  /** One row over q's and k's numbers, in the product's order. [(heads + kv_heads) · head_dim] */
  readonly weight: Tensor;
  readonly eps: number;
}

/** qkv [n, (heads + 2 kv_heads) · head_dim] with q and k of mean square 1, times the weight. */
export function qkNormForward(ops: Ops, norm: QkNorm, qkv: Tensor, layout: HeadLayout): Tensor {
  const [q, k, v] = widened(ops, qkv, (wide) => apart(ops, wide, layout));
  const units = [unit(ops, q, norm, layout), unit(ops, k, norm, layout)];
  ops.free(q, k);
  const both = use(ops, ops.concat(units, 1), ...units);
  const scaled = use(ops, ops.mul(both, norm.weight), both);
  return use(ops, ops.concat([scaled, v], 1), scaled, v);
}

/** Gradient of what came in, for d of what came out, which it frees. */
export function qkNormBackward(ops: Ops, norm: QkNorm, qkv: Tensor, d: Tensor, layout: HeadLayout): Tensor {
  const [q, k, v] = widened(ops, qkv, (wide) => apart(ops, wide, layout));
  ops.free(v);
  const { num_heads, num_kv_heads, head_dim } = layout;
  const [dBoth, dV] = ops.split(d, [(num_heads + num_kv_heads) * head_dim, num_kv_heads * head_dim], 1) as [Tensor, Tensor];
  const g = use(ops, ops.mul(dBoth, norm.weight), dBoth);
  const [gq, gk] = ops.split(g, [num_heads * head_dim, num_kv_heads * head_dim], 1) as [Tensor, Tensor];
  const parts = [unitBackward(ops, q, gq, norm, layout), unitBackward(ops, k, gk, norm, layout), dV];
  ops.free(d, g, q, k, gq, gk);
  return use(ops, ops.concat(parts, 1), ...parts);
}

function apart(ops: Ops, qkv: Tensor, { num_heads, num_kv_heads, head_dim }: HeadLayout): [Tensor, Tensor, Tensor] {
  return ops.split(qkv, [num_heads * head_dim, num_kv_heads * head_dim, num_kv_heads * head_dim], 1) as [Tensor, Tensor, Tensor];
}

function grouped(ops: Ops, x: Tensor, { over }: QkNorm, { head_dim }: HeadLayout): Tensor {
  const [n, width] = x.shape as [number, number];
  return ops.reshape(x, over === 'head' ? [(n * width) / head_dim, head_dim] : [n, width]);
}

function unit(ops: Ops, x: Tensor, norm: QkNorm, layout: HeadLayout): Tensor {
  const rows = grouped(ops, x, norm, layout);
  const r = ops.rms(rows, norm.eps);
  const scaled = use(ops, ops.mul(rows, r), rows, r);
  return use(ops, ops.reshape(scaled, x.shape), scaled);
}

/** r · (g - u · mean(g · u)) with u = r · x */
function unitBackward(ops: Ops, x: Tensor, gradient: Tensor, norm: QkNorm, layout: HeadLayout): Tensor {
  const rows = grouped(ops, x, norm, layout);
  const g = grouped(ops, gradient, norm, layout);
  const r = ops.rms(rows, norm.eps);
  const u = use(ops, ops.mul(rows, r), rows);
  const gu = ops.mul(g, u);
  const sum = use(ops, ops.sum(gu), gu);
  const mean = use(ops, ops.scale(sum, 1 / u.shape[1]!), sum);
  const along = use(ops, ops.mul(u, mean), u, mean);
  const rest = use(ops, ops.sub(g, along), g, along);
  const dx = use(ops, ops.mul(rest, r), rest, r);
  return use(ops, ops.reshape(dx, x.shape), dx);
}
