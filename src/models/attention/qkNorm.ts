import {
  columnDots,
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
  /** Of the product. */
  readonly layout: HeadLayout;
  /** Whether values are normalized, too, without a weight. */
  readonly values: boolean;
}

/** RMSNorm of queries and keys before they are rotated, and of values. Owns `scale`. */
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
 * qkv [n, (heads + 2 kv_heads) · head_dim] with the norms of q and k, and of v if it has one. Does
 * not free its input.
 */
export function qkNormForward(ops: Ops, norm: QkNorm, qkv: Tensor): Tensor {
  const { scaled: parts, v } = splitQkv(ops, norm, qkv);
  const units = parts.map((x) => thenFree(ops, normalize(ops, norm, x), x));
  const both = concatAndFree(ops, units, 1);
  const scaled = thenFree(ops, ops.mul(both, norm.scale), both);
  if (!v) return scaled;
  const values = norm.spec.values ? thenFree(ops, normalize(ops, norm, v), v) : v;
  return concatAndFree(ops, [scaled, values], 1);
}

/** Gradient of `qkNormForward`'s input qkv for the gradient dy of its output. Frees dy. */
export async function qkNormBackward(
  ops: Ops,
  norm: QkNorm,
  qkv: Tensor,
  dy: Tensor,
): Promise<Tensor> {
  const { scaled: parts, v } = splitQkv(ops, norm, qkv);
  const { scaled: widths, values } = widthsOf(norm);
  const width = widths.reduce((sum, own) => sum + own, 0);
  const [dScaled, dV] = ops.split(dy, [width, ...values], 1) as [Tensor, Tensor | undefined];
  ops.free(dy);
  if (norm.trains) await scaleBackward(ops, norm, parts, dScaled);
  const dUnits = thenFree(ops, ops.mul(dScaled, norm.scale), dScaled);
  const dParts = ops.split(dUnits, widths, 1);
  ops.free(dUnits);
  const dInputs = parts.map((x, i) => normalizeBackward(ops, norm, x, dParts[i]!));
  ops.free(...parts, ...dParts);
  if (!v || !dV) return concatAndFree(ops, dInputs, 1);
  const dValues = norm.spec.values ? thenFree(ops, normalizeBackward(ops, norm, v, dV), dV) : dV;
  ops.free(v);
  return concatAndFree(ops, [...dInputs, dValues], 1);
}

async function scaleBackward(
  ops: Ops,
  norm: QkNorm,
  qk: readonly Tensor[],
  dScaled: Tensor,
): Promise<void> {
  const units = qk.map((x) => normalize(ops, norm, x));
  const both = concatAndFree(ops, units, 1);
  const sums = thenFree(ops, columnDots(ops, dScaled, both), both);
  await norm.accumulate(await downloadAndFree(ops, sums));
}

/** The widths of q and k, and of v; none for keys and values of another layer. */
function widthsOf({ spec: { layout } }: QkNorm): {
  readonly scaled: readonly number[];
  readonly values: readonly number[];
} {
  const { num_heads, num_kv_heads, head_dim } = layout;
  const keys = num_kv_heads > 0 ? [num_kv_heads * head_dim] : [];
  return { scaled: [num_heads * head_dim, ...keys], values: keys };
}

/** q and k, and v, in f32, each [n, its heads · head_dim]. */
function splitQkv(
  ops: Ops,
  norm: QkNorm,
  qkv: Tensor,
): { readonly scaled: readonly Tensor[]; readonly v: Tensor | null } {
  const { scaled, values } = widthsOf(norm);
  const parts = withF32(ops, qkv, (wide) => ops.split(wide, [...scaled, ...values], 1));
  return { scaled: parts.slice(0, scaled.length), v: parts[scaled.length] ?? null };
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
