import {
  columnSums,
  concatAndFree,
  downloadAndFree,
  elementCount,
  thenFree,
  withF32,
  type Ops,
  type Tensor,
} from '../ops/ops';
import type { DenseWeight } from '../weightTensor';
import type { HeadLayout } from './headLayout';

/** The weight of q's or k's norm. */
interface QkNormPart {
  readonly weight: DenseWeight;
  /** The weight's element for each row of the product. */
  readonly order: Int32Array;
  /** 1 if the weight is stored as an offset from 1, else 0. */
  readonly offset: number;
}

interface QkNormSpec {
  /** Over each head's numbers, or over those of all heads together. */
  readonly over: 'head' | 'all';
  readonly eps: number;
  readonly layout: HeadLayout;
}

/** RMSNorm of queries and keys before they are rotated. Owns `scale`. */
export class QkNorm {
  /** The weights of q and k in the product's order. */
  scale!: Tensor; // [(heads + kv_heads) · head_dim]

  private constructor(
    private readonly ops: Ops,
    readonly spec: QkNormSpec,
    private readonly parts: readonly QkNormPart[],
  ) {}

  static async of(ops: Ops, spec: QkNormSpec, parts: readonly QkNormPart[]): Promise<QkNorm> {
    const norm = new QkNorm(ops, spec, parts);
    norm.scale = await norm.uploadScale();
    return norm;
  }

  get trains(): boolean {
    return this.parts.some(({ weight }) => weight.gradientSink);
  }

  /** To be called when the weights have changed. */
  async refresh(): Promise<void> {
    this.ops.free(this.scale);
    this.scale = await this.uploadScale();
  }

  /** Adds the gradient of `scale` to those of the weights. */
  async accumulate(gradient: Float32Array): Promise<void> {
    let row = 0;
    for (const { weight, order } of this.parts) {
      const { shape } = weight.tensor;
      const sums = new Float32Array(elementCount(shape));
      for (const at of order) sums[at]! += gradient[row++]!;
      await weight.gradientSink?.accumulate(this.ops.upload(sums, shape));
    }
  }

  dispose(): void {
    this.ops.free(this.scale);
  }

  private async uploadScale(): Promise<Tensor> {
    const rows: number[] = [];
    for (const { weight, order, offset } of this.parts) {
      const numbers = await this.ops.download(weight.tensor);
      for (const at of order) rows.push(numbers[at]! + offset);
    }
    return this.ops.upload(Float32Array.from(rows), [rows.length]);
  }
}

/**
 * qkv [n, (heads + 2 kv_heads) · head_dim] with the norms of q and k; v is unchanged. Does not free
 * its input.
 */
export function qkNormForward(ops: Ops, norm: QkNorm, qkv: Tensor): Tensor {
  const [q, k, v] = splitQkv(ops, norm, qkv);
  const units = [normalize(ops, norm, q), normalize(ops, norm, k)];
  ops.free(q, k);
  const both = concatAndFree(ops, units, 1);
  const scaled = thenFree(ops, ops.mul(both, norm.scale), both);
  return concatAndFree(ops, [scaled, v], 1);
}

/** Gradient of `qkNormForward`'s input qkv for the gradient dy of its output. Frees dy. */
export async function qkNormBackward(
  ops: Ops,
  norm: QkNorm,
  qkv: Tensor,
  dy: Tensor,
): Promise<Tensor> {
  const [q, k, v] = splitQkv(ops, norm, qkv);
  ops.free(v);
  const { num_heads, num_kv_heads, head_dim } = norm.spec.layout;
  const queries = num_heads * head_dim;
  const keys = num_kv_heads * head_dim;
  const [dScaled, dV] = ops.split(dy, [queries + keys, keys], 1) as [Tensor, Tensor];
  if (norm.trains) await scaleBackward(ops, norm, [q, k], dScaled);
  const dUnits = thenFree(ops, ops.mul(dScaled, norm.scale), dScaled);
  const [dUnitQ, dUnitK] = ops.split(dUnits, [queries, keys], 1) as [Tensor, Tensor];
  const dQ = normalizeBackward(ops, norm, q, dUnitQ);
  const dK = normalizeBackward(ops, norm, k, dUnitK);
  ops.free(dy, dUnits, q, k, dUnitQ, dUnitK);
  return concatAndFree(ops, [dQ, dK, dV], 1);
}

async function scaleBackward(
  ops: Ops,
  norm: QkNorm,
  qk: readonly Tensor[],
  dScaled: Tensor,
): Promise<void> {
  const units = qk.map((x) => normalize(ops, norm, x));
  const both = concatAndFree(ops, units, 1);
  const products = thenFree(ops, ops.mul(dScaled, both), both);
  const sums = thenFree(ops, columnSums(ops, products), products);
  await norm.accumulate(await downloadAndFree(ops, sums));
}

/** q, k and v in f32, each [n, its heads · head_dim]. */
function splitQkv(ops: Ops, norm: QkNorm, qkv: Tensor): [Tensor, Tensor, Tensor] {
  const { num_heads, num_kv_heads, head_dim } = norm.spec.layout;
  const widths = [num_heads * head_dim, num_kv_heads * head_dim, num_kv_heads * head_dim];
  const parts = withF32(ops, qkv, (wide) => ops.split(wide, widths, 1));
  return parts as [Tensor, Tensor, Tensor];
}

/** The rows that are normalized: of each head, or of all heads. */
function groupRows(ops: Ops, { spec }: QkNorm, x: Tensor): Tensor {
  const [n, width] = x.shape as [number, number];
  if (spec.over === 'all') return ops.reshape(x, [n, width]);
  const { head_dim } = spec.layout;
  return ops.reshape(x, [(n * width) / head_dim, head_dim]);
}

/** x with mean square 1. */
function normalize(ops: Ops, norm: QkNorm, x: Tensor): Tensor {
  const rows = groupRows(ops, norm, x);
  const r = ops.rms(rows, norm.spec.eps);
  const scaled = thenFree(ops, ops.mul(rows, r), rows, r);
  return thenFree(ops, ops.reshape(scaled, x.shape), scaled);
}

/** r · (g - u · mean(g · u)) with u = r · x */
function normalizeBackward(ops: Ops, norm: QkNorm, x: Tensor, dUnit: Tensor): Tensor {
  const rows = groupRows(ops, norm, x);
  const g = groupRows(ops, norm, dUnit);
  const r = ops.rms(rows, norm.spec.eps);
  const u = thenFree(ops, ops.mul(rows, r), rows);
  const gu = ops.mul(g, u);
  const sum = thenFree(ops, ops.sum(gu), gu);
  const mean = thenFree(ops, ops.scale(sum, 1 / u.shape[1]!), sum);
  const parallel = thenFree(ops, ops.mul(u, mean), u, mean);
  const orthogonal = thenFree(ops, ops.sub(g, parallel), g, parallel);
  const dx = thenFree(ops, ops.mul(orthogonal, r), orthogonal, r);
  return thenFree(ops, ops.reshape(dx, x.shape), dx);
}
