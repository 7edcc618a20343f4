import type { WeightTensor } from '../weightTensor';
import { columnSums, elementCount, thenFree, withF32, type Ops, type Tensor } from '../ops/ops';
import type { HeadLayout } from './rope';

/** The weight of q's or k's norm, and which of its numbers each row of the product takes. */
interface Part {
  readonly weight: WeightTensor;
  readonly order: Int32Array;
  /** 1 where the weight counts from 1. */
  readonly offset: number;
}

/**
 * RMSNorm of queries and keys before they are rotated: over each head's numbers, or over all heads'
 * at once.
 */
export class QkNorm {
  /** One row over q's and k's numbers, in the product's order. [(heads + kv_heads) · head_dim] */
  scale!: Tensor;

  private constructor(
    private readonly ops: Ops,
    readonly over: 'head' | 'all',
    private readonly parts: readonly Part[],
    readonly eps: number,
  ) {}

  static async of(
    ops: Ops,
    over: 'head' | 'all',
    parts: readonly Part[],
    eps: number,
  ): Promise<QkNorm> {
    const norm = new QkNorm(ops, over, parts, eps);
    norm.scale = await norm.spread();
    return norm;
  }

  get trains(): boolean {
    return this.parts.some(({ weight }) => weight.gradientSink);
  }

  async refresh(): Promise<void> {
    this.ops.free(this.scale);
    this.scale = await this.spread();
  }

  /** Adds the gradient of `scale` to its numbers'. */
  async accumulate(gradient: Float32Array): Promise<void> {
    let row = 0;
    for (const { weight, order } of this.parts) {
      const own = new Float32Array(elementCount(weight.tensor.shape));
      for (const at of order) own[at]! += gradient[row++]!;
      await weight.gradientSink?.accumulate(this.ops.upload(own, weight.tensor.shape));
    }
  }

  dispose(): void {
    this.ops.free(this.scale);
  }

  private async spread(): Promise<Tensor> {
    const rows: number[] = [];
    for (const { weight, order, offset } of this.parts) {
      const own = await this.ops.download(weight.tensor);
      for (const at of order) rows.push(own[at]! + offset);
    }
    return this.ops.upload(Float32Array.from(rows), [rows.length]);
  }
}

/** qkv [n, (heads + 2 kv_heads) · head_dim] with q and k of mean square 1, times the weight. */
export function qkNormForward(ops: Ops, norm: QkNorm, qkv: Tensor, layout: HeadLayout): Tensor {
  const [q, k, v] = withF32(ops, qkv, (wide) => apart(ops, wide, layout));
  const units = [unit(ops, q, norm, layout), unit(ops, k, norm, layout)];
  ops.free(q, k);
  const both = thenFree(ops, ops.concat(units, 1), ...units);
  const scaled = thenFree(ops, ops.mul(both, norm.scale), both);
  return thenFree(ops, ops.concat([scaled, v], 1), scaled, v);
}

/** Gradient of what came in, for d of what came out, which it frees. */
export async function qkNormBackward(
  ops: Ops,
  norm: QkNorm,
  qkv: Tensor,
  d: Tensor,
  layout: HeadLayout,
): Promise<Tensor> {
  const [q, k, v] = withF32(ops, qkv, (wide) => apart(ops, wide, layout));
  ops.free(v);
  const { num_heads, num_kv_heads, head_dim } = layout;
  const [dBoth, dV] = ops.split(
    d,
    [(num_heads + num_kv_heads) * head_dim, num_kv_heads * head_dim],
    1,
  ) as [Tensor, Tensor];
  if (norm.trains) await scaleBackward(ops, norm, [q, k], dBoth, layout);
  const g = thenFree(ops, ops.mul(dBoth, norm.scale), dBoth);
  const [gq, gk] = ops.split(g, [num_heads * head_dim, num_kv_heads * head_dim], 1) as [
    Tensor,
    Tensor,
  ];
  const parts = [
    unitBackward(ops, q, gq, norm, layout),
    unitBackward(ops, k, gk, norm, layout),
    dV,
  ];
  ops.free(d, g, q, k, gq, gk);
  return thenFree(ops, ops.concat(parts, 1), ...parts);
}

async function scaleBackward(
  ops: Ops,
  norm: QkNorm,
  parts: readonly Tensor[],
  d: Tensor,
  layout: HeadLayout,
): Promise<void> {
  const units = parts.map((x) => unit(ops, x, norm, layout));
  const both = thenFree(ops, ops.concat(units, 1), ...units);
  const products = thenFree(ops, ops.mul(d, both), both);
  const sums = thenFree(ops, columnSums(ops, products), products);
  await norm.accumulate(await ops.download(sums));
  ops.free(sums);
}

function apart(
  ops: Ops,
  qkv: Tensor,
  { num_heads, num_kv_heads, head_dim }: HeadLayout,
): [Tensor, Tensor, Tensor] {
  return ops.split(
    qkv,
    [num_heads * head_dim, num_kv_heads * head_dim, num_kv_heads * head_dim],
    1,
  ) as [Tensor, Tensor, Tensor];
}

function grouped(ops: Ops, x: Tensor, { over }: QkNorm, { head_dim }: HeadLayout): Tensor {
  const [n, width] = x.shape as [number, number];
  return ops.reshape(x, over === 'head' ? [(n * width) / head_dim, head_dim] : [n, width]);
}

function unit(ops: Ops, x: Tensor, norm: QkNorm, layout: HeadLayout): Tensor {
  const rows = grouped(ops, x, norm, layout);
  const r = ops.rms(rows, norm.eps);
  const scaled = thenFree(ops, ops.mul(rows, r), rows, r);
  return thenFree(ops, ops.reshape(scaled, x.shape), scaled);
}

/** r · (g - u · mean(g · u)) with u = r · x */
function unitBackward(
  ops: Ops,
  x: Tensor,
  gradient: Tensor,
  norm: QkNorm,
  layout: HeadLayout,
): Tensor {
  const rows = grouped(ops, x, norm, layout);
  const g = grouped(ops, gradient, norm, layout);
  const r = ops.rms(rows, norm.eps);
  const u = thenFree(ops, ops.mul(rows, r), rows);
  const gu = ops.mul(g, u);
  const sum = thenFree(ops, ops.sum(gu), gu);
  const mean = thenFree(ops, ops.scale(sum, 1 / u.shape[1]!), sum);
  const along = thenFree(ops, ops.mul(u, mean), u, mean);
  const rest = thenFree(ops, ops.sub(g, along), g, along);
  const dx = thenFree(ops, ops.mul(rest, r), rest, r);
  return thenFree(ops, ops.reshape(dx, x.shape), dx);
}
