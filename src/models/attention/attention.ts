import { applyActivation, applyActivationWithSlope } from '../layers/activation';
import { sumAndFree } from '../layers/linear';
import type { HeadLayout } from './rope';
import {
  castAndFree,
  concatAndFree,
  thenFree,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';

/**
 * Queries start..end see the keys from..to; the mask [1 or batch, 1, end - start, to - from] is
 * added to the scores.
 */
export interface RowBlock {
  readonly start: number;
  readonly end: number;
  readonly from: number;
  readonly to: number;
  readonly mask: Tensor | null;
}

export interface AttentionShape extends HeadLayout {
  readonly batch: number;
  readonly length: number;
}

/**
 * q (scaled and rotated) [batch, heads, length, head_dim]; k and v [batch · kv_heads, length,
 * head_dim]
 */
export interface Heads {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * What happens to q and k before their product: the rotation, attention's scale included, or the
 * scale alone.
 */
export type RotaryTable =
  | { readonly kind: 'rotate'; readonly forward: Tensor; readonly backward: Tensor }
  | { readonly kind: 'scale'; readonly row: Tensor };

/**
 * Cuts a fused product [n, (heads + 2 kv_heads) · head_dim] into heads of that precision, rotates q
 * and k.
 */
export function toHeads(
  ops: Ops,
  qkv: Tensor,
  shape: AttentionShape,
  turn: RotaryTable,
  dtype: Precision,
): Heads {
  const { batch, length, num_heads, num_kv_heads, head_dim } = shape;
  if (ops.fused && turn.kind === 'rotate') {
    const [q, k, v] = ops.fused.toHeads(qkv, turn.forward, batch, shape, dtype);
    return { q, k, v };
  }
  const rotated = castAndFree(ops, turned(ops, qkv, turn, 'forward'), dtype);
  const apart = thenFree(
    ops,
    ops.reshape(rotated, [batch, length, num_heads + 2 * num_kv_heads, head_dim]),
    rotated,
  );
  // [batch, heads + 2 kv_heads, length, head_dim]
  const heads = thenFree(ops, ops.transpose(apart, [0, 2, 1, 3]), apart);
  const [q, k, v] = ops.split(heads, [num_heads, num_kv_heads, num_kv_heads], 1) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  ops.free(heads);
  const flat = (x: Tensor) =>
    thenFree(ops, ops.reshape(x, [batch * num_kv_heads, length, head_dim]), x);
  return { q, k: flat(k), v: flat(v) };
}

/**
 * The way back for gradients: dqkv [n, (heads + 2 kv_heads) · head_dim], in that precision or f32.
 * Frees the heads.
 */
export function fromHeads(
  ops: Ops,
  { q, k, v }: Heads,
  shape: AttentionShape,
  turn: RotaryTable,
  dtype: Precision,
): Tensor {
  const { batch, length, num_heads, num_kv_heads, head_dim } = shape;
  if (ops.fused && turn.kind === 'rotate')
    return thenFree(ops, ops.fused.fromHeads(q, k, v, turn.backward, batch, shape, dtype), q, k, v);
  const apart = (x: Tensor, heads: number) =>
    thenFree(ops, ops.reshape(x, [batch, heads, length, head_dim]), x);
  const parts = [apart(q, num_heads), apart(k, num_kv_heads), apart(v, num_kv_heads)];
  const heads = thenFree(ops, ops.concat(parts, 1), ...parts);
  const rows = thenFree(ops, ops.transpose(heads, [0, 2, 1, 3]), heads);
  const flat = thenFree(
    ops,
    ops.reshape(rows, [batch * length, (num_heads + 2 * num_kv_heads) * head_dim]),
    rows,
  );
  return thenFree(ops, turned(ops, flat, turn, 'backward'), flat);
}

function turned(ops: Ops, x: Tensor, turn: RotaryTable, way: 'forward' | 'backward'): Tensor {
  return turn.kind === 'rotate' ? ops.rotate(x, turn[way]) : ops.mul(x, turn.row);
}

/**
 * What attention gives: o [n, heads · head_dim], and for each block its probabilities [batch ·
 * kv_heads, group · rows, keys] where they are kept.
 */
export interface Attended {
  readonly o: Tensor;
  readonly probabilities: readonly Tensor[] | null;
}

/** softmax(q kᵀ + mask) v. Query heads of one kv head are rows of one product. */
export function attend(
  ops: Ops,
  heads: Heads,
  shape: AttentionShape,
  blocks: readonly RowBlock[],
  keep: boolean,
  softcap: number | null,
): Attended {
  const [only] = blocks;
  if (ops.fused && shape.length === 1 && only && !only.mask && softcap === null && !keep) {
    const [k, v] = [heads.k, heads.v].map((x) => part(ops, x, 1, only.from, only.to)) as [
      Tensor,
      Tensor,
    ];
    return { o: thenFree(ops, ops.fused.attendOne(heads.q, k, v), k, v), probabilities: null };
  }
  const kept: Tensor[] = [];
  const outputs = blocks.map((block) => {
    const { q, k, v } = cut(ops, heads, shape, block);
    const p = castAndFree(
      ops,
      thenFree(ops, probabilitiesOf(ops, q, k, shape, block, softcap).p, q, k),
      v.dtype as Precision,
    );
    const o = thenFree(ops, ops.batchMatMul(p, v), v);
    if (keep) kept.push(p);
    else ops.free(p);
    return thenFree(
      ops,
      ops.reshape(o, [shape.batch, shape.num_heads, block.end - block.start, shape.head_dim]),
      o,
    );
  });
  const o = concatAndFree(ops, outputs, 2);
  return { o: thenFree(ops, rowsFromHeads(ops, o, shape), o), probabilities: keep ? kept : null };
}

/**
 * Gradients of the heads for d(output) [n, heads · head_dim], with D = sum(do · o) instead of
 * sum(dP · P) (Dao et al. 2022).
 */
export function attendBackward(
  ops: Ops,
  heads: Heads,
  { o, probabilities }: Attended,
  dO: Tensor,
  shape: AttentionShape,
  blocks: readonly RowBlock[],
  softcap: number | null,
): Heads {
  const half = ops.cast(dO, heads.v.dtype as Precision);
  const dHeads = thenFree(ops, headsFromRows(ops, half, shape, shape.head_dim), half);
  const D = thenFree(ops, ...dotOfRows(ops, o, dO, shape)); // [batch, heads, length, 1]
  const parts = blocks.map((block, i) =>
    blockBackward(ops, heads, dHeads, D, shape, block, softcap, probabilities?.[i] ?? null),
  );
  ops.free(dHeads, D);
  const q = concatAndFree(
    ops,
    parts.map((p) => p.q),
    2,
  );
  return {
    q,
    k: overlay(
      ops,
      parts.map((p) => p.k),
      shape.length,
      blocks,
    ),
    v: overlay(
      ops,
      parts.map((p) => p.v),
      shape.length,
      blocks,
    ),
  };
}

function blockBackward(
  ops: Ops,
  heads: Heads,
  dHeads: Tensor,
  D: Tensor,
  shape: AttentionShape,
  block: RowBlock,
  softcap: number | null,
  kept: Tensor | null,
): Heads {
  const { q, k, v } = cut(ops, heads, shape, block);
  // [batch · kv, group · rows, head_dim]
  const dO = queries(ops, dHeads, shape, block, shape.head_dim);
  const d = queries(ops, D, shape, block, 1);
  const again =
    kept && softcap === null
      ? { p: kept, bend: null }
      : probabilitiesOf(ops, q, k, shape, block, softcap, true);
  const p = again.p === kept ? kept : castAndFree(ops, again.p, q.dtype as Precision);
  const dV = ops.batchMatMul(p, dO, true); // [batch · kv, keys, head_dim]
  const dP = thenFree(ops, ops.batchMatMul(dO, v, false, true), dO, v);
  const direct = ops.fused
    ? thenFree(ops, ops.fused.softmaxGrad(p, dP, d), dP, d)
    : centredProduct(ops, p, dP, d);
  const dS = castAndFree(
    ops,
    again.bend ? thenFree(ops, ops.mul(direct, again.bend), direct, again.bend) : direct,
    q.dtype as Precision,
  );
  if (p !== kept) ops.free(p);
  const dK = thenFree(ops, ops.batchMatMul(dS, q, true), q);
  const dQ = thenFree(ops, ops.batchMatMul(dS, k), dS, k);
  return {
    q: thenFree(
      ops,
      ops.reshape(dQ, [shape.batch, shape.num_heads, block.end - block.start, shape.head_dim]),
      dQ,
    ),
    k: dK,
    v: dV,
  };
}

/** p · (dP - d); takes both over. */
function centredProduct(ops: Ops, p: Tensor, dP: Tensor, d: Tensor): Tensor {
  const centred = thenFree(ops, ops.sub(dP, d), dP, d);
  return thenFree(ops, ops.mul(p, centred), centred);
}

/** softmax over the keys; `bend`: the slope of the softcap at each score, where it is wanted. */
function probabilitiesOf(
  ops: Ops,
  q: Tensor,
  k: Tensor,
  shape: AttentionShape,
  block: RowBlock,
  softcap: number | null,
  wantBend = false,
): { readonly p: Tensor; readonly bend: Tensor | null } {
  const raw = ops.batchMatMul(q, k, false, true);
  if (softcap === null) return { p: softmaxOf(ops, raw, q, shape, block), bend: null };
  const small = thenFree(ops, ops.scale(raw, 1 / softcap), raw);
  const { y, slope: bend } = wantBend
    ? applyActivationWithSlope(ops, 'tanh', small)
    : { y: applyActivation(ops, 'tanh', small), slope: null };
  const scores = thenFree(ops, ops.scale(y, softcap), y, small);
  return { p: softmaxOf(ops, scores, q, shape, block), bend };
}

/** Takes the scores over. */
function softmaxOf(
  ops: Ops,
  scores: Tensor,
  q: Tensor,
  shape: AttentionShape,
  { start, end, from, to, mask }: RowBlock,
): Tensor {
  if (ops.fused) return thenFree(ops, ops.fused.softmax(scores, mask), scores);
  if (!mask) return thenFree(ops, ops.softmax(scores), scores);
  const apart = thenFree(
    ops,
    ops.reshape(scores, [shape.batch, shape.num_heads, end - start, to - from]),
    scores,
  );
  const masked = thenFree(ops, ops.add(apart, mask), apart);
  const flat = thenFree(ops, ops.reshape(masked, q.shape.slice(0, 2).concat(to - from)), masked);
  return thenFree(ops, ops.softmax(flat), flat);
}

/** The queries and keys of a block, as batches of matrices. */
function cut(ops: Ops, { q, k, v }: Heads, shape: AttentionShape, block: RowBlock): Heads {
  const keys = (x: Tensor) => part(ops, x, 1, block.from, block.to);
  return { q: queries(ops, q, shape, block, shape.head_dim), k: keys(k), v: keys(v) };
}

/** [batch, heads, length, width] -> the block's rows [batch · kv_heads, group · rows, width] */
function queries(
  ops: Ops,
  x: Tensor,
  shape: AttentionShape,
  { start, end }: RowBlock,
  width: number,
): Tensor {
  const rows = part(ops, x, 2, start, end);
  const group = shape.num_heads / shape.num_kv_heads;
  return thenFree(
    ops,
    ops.reshape(rows, [shape.batch * shape.num_kv_heads, group * (end - start), width]),
    rows,
  );
}

/** From..to along an axis; without a copy where that is all. */
function part(ops: Ops, x: Tensor, axis: number, from: number, to: number): Tensor {
  if (from === 0 && to === x.shape[axis]) return ops.reshape(x, x.shape);
  return ops.slice(
    x,
    x.shape.map((_, i) => (i === axis ? from : 0)),
    x.shape.map((size, i) => (i === axis ? to - from : size)),
  );
}

/** Sum of the blocks' key gradients, each at its place. */
function overlay(
  ops: Ops,
  parts: readonly Tensor[],
  length: number,
  blocks: readonly RowBlock[],
): Tensor {
  const padded = parts.map((x, i) => {
    const { from, to } = blocks[i]!;
    return from === 0 && to === length ? x : thenFree(ops, ops.pad(x, 1, from, length - to), x);
  });
  return castAndFree(
    ops,
    sumAndFree(ops, padded, null, parts[0]!.dtype as Precision),
    parts[0]!.dtype as Precision,
  );
}

/** [batch, heads, length, head_dim] -> [n, heads · head_dim] */
function rowsFromHeads(
  ops: Ops,
  x: Tensor,
  { batch, length, num_heads, head_dim }: AttentionShape,
): Tensor {
  const rows = ops.transpose(x, [0, 2, 1, 3]);
  return thenFree(ops, ops.reshape(rows, [batch * length, num_heads * head_dim]), rows);
}

/** [n, heads · width] -> [batch, heads, length, width] */
function headsFromRows(
  ops: Ops,
  x: Tensor,
  { batch, length, num_heads }: AttentionShape,
  width: number,
): Tensor {
  const rows = ops.reshape(x, [batch, length, num_heads, width]);
  return thenFree(ops, ops.transpose(rows, [0, 2, 1, 3]), rows);
}

function dotOfRows(ops: Ops, o: Tensor, dO: Tensor, shape: AttentionShape): [Tensor, Tensor] {
  if (ops.fused) {
    const dots = ops.fused.rowDots(o, dO, shape.num_heads);
    return [headsFromRows(ops, dots, shape, 1), dots];
  }
  const product = ops.mul(o, dO);
  const apart = thenFree(
    ops,
    ops.reshape(product, [shape.batch * shape.length, shape.num_heads, shape.head_dim]),
    product,
  );
  const dot = thenFree(ops, ops.sum(apart), apart);
  return [headsFromRows(ops, dot, shape, 1), dot];
}
