import type { HeadLayout } from '../attention/rope';
import type { ElementType, Precision, Tensor } from './tensor';

/**
 * What a transformer does between its products, each in one pass over memory. Where a backing lacks
 * them, several of its `Ops` do the same.
 */
export interface FusedOps {
  /** h = x · r · weight, r = 1 / √(mean(x²) + eps); x [n, d] in f32 */
  rms(
    x: Tensor,
    weight: Tensor,
    eps: number,
    dtype: Precision,
  ): { readonly h: Tensor; readonly r: Tensor };
  /** dx = r · g - x · r³ · mean(g · x) + residual, g = dh · weight */
  rmsGrad(x: Tensor, r: Tensor, weight: Tensor, dh: Tensor, residual: Tensor | null): Tensor;
  /** silu(gate) · up, both of one type, which the result has. */
  glu(gate: Tensor, up: Tensor): Tensor;
  /** Gradients of gate and up. */
  gluGrad(gate: Tensor, up: Tensor, dm: Tensor): [Tensor, Tensor];
  /** Sum of two or three tensors of one size. */
  sum(terms: readonly Tensor[], dtype: Precision): Tensor;
  convert(x: Tensor, dtype: Precision): Tensor;
  /**
   * Rows of q, k and v [batch · length, (heads + 2 kv_heads) · head_dim], turned by a table of
   * `rotaryTable`, as q [batch, heads, length, head_dim], k and v [batch · kv_heads, length,
   * head_dim].
   */
  toHeads(
    qkv: Tensor,
    table: Tensor,
    batch: number,
    layout: HeadLayout,
    dtype: Precision,
  ): [Tensor, Tensor, Tensor];
  /** The way back. */
  fromHeads(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    table: Tensor,
    batch: number,
    layout: HeadLayout,
    dtype: Precision,
  ): Tensor;
  /**
   * softmax(scores + mask): scores [batch · kv_heads, group · rows, keys], mask [1 or batch, 1,
   * rows, keys]
   */
  softmax(scores: Tensor, mask: Tensor | null): Tensor;
  /** p · (dp - d), d one number a row */
  softmaxGrad(p: Tensor, dp: Tensor, d: Tensor): Tensor;
  /** Products of the rows of each head: [n, heads · d] twice -> [n, heads] */
  rowDots(a: Tensor, b: Tensor, heads: number): Tensor;
  /** x Wᵀ in f32 for few rows: x [m, in] in f32, weight [out, in] of either type. */
  fewRows(x: Tensor, weight: Tensor): Tensor;
  /**
   * softmax(q kᵀ) v of one query a head: q [batch, heads, 1, d], k and v [batch · kv_heads, keys,
   * d] -> [batch, heads · d]
   */
  attendOne(q: Tensor, k: Tensor, v: Tensor): Tensor;
  /**
   * loss = log(sum(exp z)) - z[label] of each row of z [n, vocab]; on demand also p = softmax(z),
   * or the loss's gradient dz = p - onehot(label).
   */
  crossEntropy(
    z: Tensor,
    labels: Tensor,
    wanted: 'loss' | 'p' | 'dz',
  ): { readonly p: Tensor | null; readonly loss: Tensor };
  /**
   * One step of AdamW, which changes theta, exp_avg and exp_avg_sq where they are: nobody else may
   * read them meanwhile. `step`: its numbers, as adamw.ts puts them.
   */
  adamw(theta: Tensor, gradient: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, step: Tensor): void;
}

export type FusedAttr = readonly [
  name: string,
  value: Precision | { readonly int: number } | { readonly float: number },
];

/** Runs an operation of the binding's own kernels. */
export type RunFused = (
  op: string,
  attrs: readonly FusedAttr[],
  inputs: readonly Tensor[],
  outputs: readonly ElementType[],
) => Tensor[];

const precisionOf = (x: Tensor): Precision => (x.dtype === 'bf16' ? 'bf16' : 'f32');

/** The kernels of src/runtime/kernels. `nothing`: an empty tensor of f32, for what is left out. */
export function fusedOps(run: RunFused, nothing: Tensor, release: (x: Tensor) => void): FusedOps {
  const heads = (batch: number, { num_heads, num_kv_heads }: HeadLayout): FusedAttr[] => [
    ['batch', { int: batch }],
    ['heads', { int: num_heads }],
    ['kv_heads', { int: num_kv_heads }],
  ];
  const one = (
    op: string,
    attrs: readonly FusedAttr[],
    inputs: readonly Tensor[],
    dtype: Precision,
  ) => run(op, attrs, inputs, [dtype])[0]!;
  return {
    rms(x, weight, eps, dtype) {
      const [h, r] = run(
        'LoraRms',
        [
          ['T', dtype],
          ['eps', { float: eps }],
        ],
        [x, weight],
        [dtype, 'f32'],
      ) as [Tensor, Tensor];
      return { h, r };
    },
    rmsGrad: (x, r, weight, dh, residual) =>
      one('LoraRmsGrad', [['T', precisionOf(dh)]], [x, r, weight, dh, residual ?? nothing], 'f32'),
    glu: (gate, up) => one('LoraGlu', [['T', precisionOf(gate)]], [gate, up], precisionOf(gate)),
    gluGrad: (gate, up, dm) =>
      run('LoraGluGrad', [['T', precisionOf(gate)]], [gate, up, dm], [gate.dtype, gate.dtype]) as [
        Tensor,
        Tensor,
      ],
    sum([a, b, c = nothing], dtype) {
      if (!a || !b) throw new RangeError('A sum has two terms or three.');
      return one(
        'LoraSum',
        [
          ['A', precisionOf(a)],
          ['B', precisionOf(b)],
          ['C', precisionOf(c)],
          ['T', dtype],
        ],
        [a, b, c],
        dtype,
      );
    },
    convert: (x, dtype) =>
      one(
        'LoraConvert',
        [
          ['T', precisionOf(x)],
          ['U', dtype],
        ],
        [x],
        dtype,
      ),
    toHeads: (qkv, table, batch, layout, dtype) =>
      run(
        'LoraToHeads',
        [['T', precisionOf(qkv)], ['U', dtype], ...heads(batch, layout)],
        [qkv, table],
        [dtype, dtype, dtype],
      ) as [Tensor, Tensor, Tensor],
    fromHeads: (q, k, v, table, batch, layout, dtype) =>
      one(
        'LoraFromHeads',
        [['T', precisionOf(q)], ['U', dtype], ...heads(batch, layout)],
        [q, k, v, table],
        dtype,
      ),
    softmax: (scores, mask) =>
      one(
        'LoraSoftmax',
        [['T', precisionOf(scores)]],
        [scores, mask ?? nothing],
        precisionOf(scores),
      ),
    softmaxGrad: (p, dp, d) =>
      one('LoraSoftmaxGrad', [['T', precisionOf(p)]], [p, dp, d], precisionOf(p)),
    rowDots: (a, b, count) =>
      one(
        'LoraRowDots',
        [
          ['T', precisionOf(a)],
          ['U', precisionOf(b)],
          ['heads', { int: count }],
        ],
        [a, b],
        'f32',
      ),
    fewRows: (x, weight) => one('LoraFewRows', [['T', precisionOf(weight)]], [x, weight], 'f32'),
    attendOne: (q, k, v) =>
      one('LoraAttendOne', [['T', precisionOf(q)]], [q, k, v], precisionOf(q)),
    crossEntropy(z, labels, wanted) {
      const [p, loss] = run(
        'LoraCrossEntropy',
        [
          ['T', precisionOf(z)],
          ['wants', { int: ['loss', 'p', 'dz'].indexOf(wanted) }],
        ],
        [z, labels],
        [z.dtype, 'f32'],
      ) as [Tensor, Tensor];
      if (wanted !== 'loss') return { p, loss };
      release(p);
      return { p: null, loss };
    },
    adamw: (theta, gradient, exp_avg, exp_avg_sq, step) =>
      release(one('LoraAdamW', [], [theta, gradient, exp_avg, exp_avg_sq, step], 'f32')),
  };
}
