import type { Heads } from '../ops/fusedOps';
import {
  castAndFree,
  concatAndFree,
  thenFree,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';
import type {
  AttentionGradient,
  AttentionOutput,
  AttentionPass,
  HeadsPass,
  RotaryTable,
  SeenKeys,
} from './attentionPass';
import { attendInBlocks, attendInBlocksBackward } from './blockAttention';
import { headsFromRows, rowsFromHeads } from './queryBlocks';
import { attendRows, attendRowsBackward } from './rowAttention';

export type { AttentionPass, HeadsPass, RotaryTable, SeenKeys };

/** Rotates a product before the norms of q and k, or back, if they follow RoPE. Frees x. */
export const rotateBeforeNorm = (
  ops: Ops,
  x: Tensor,
  rope: RotaryTable,
  direction: 'forward' | 'backward',
): Tensor => (rope.kind === 'before_norm' ? thenFree(ops, ops.rotate(x, rope[direction]), x) : x);

/**
 * Cuts a fused product [n, (heads + 2 kv_heads) · head_dim] into heads of `dtype`, and rotates and
 * scales q and k. Does not free the product.
 */
export function toHeads({ ops, shape, rope }: HeadsPass, qkv: Tensor, dtype: Precision): Heads {
  const { batch, length, num_heads, num_kv_heads, head_dim } = shape;
  if (ops.fused && rope.kind === 'rotate') {
    return ops.fused.toHeads(qkv, rope.forward, shape, dtype);
  }
  const rotated = castAndFree(ops, rotate(ops, qkv, rope, 'forward'), dtype);
  const rows = [batch, length, num_heads + 2 * num_kv_heads, head_dim];
  const byToken = thenFree(ops, ops.reshape(rotated, rows), rotated);
  // [batch, heads + 2 kv_heads, length, head_dim]
  const byHead = thenFree(ops, ops.transpose(byToken, [0, 2, 1, 3]), byToken);
  const parts = ops.split(byHead, [num_heads, num_kv_heads, num_kv_heads], 1);
  ops.free(byHead);
  const [q, k, v] = parts as [Tensor, Tensor, Tensor];
  const flatten = (x: Tensor) =>
    thenFree(ops, ops.reshape(x, [batch * num_kv_heads, length, head_dim]), x);
  return { q, k: flatten(k), v: flatten(v) };
}

/**
 * The inverse of `toHeads` for gradients: dqkv [n, (heads + 2 kv_heads) · head_dim], in `dtype` or
 * f32. Frees the heads.
 */
export function fromHeads({ ops, shape, rope }: HeadsPass, heads: Heads, dtype: Precision): Tensor {
  const { q, k, v } = heads;
  const { batch, length, num_heads, num_kv_heads, head_dim } = shape;
  if (ops.fused && rope.kind === 'rotate') {
    return thenFree(ops, ops.fused.fromHeads(heads, rope.backward, shape, dtype), q, k, v);
  }
  const unflatten = (x: Tensor, count: number) =>
    thenFree(ops, ops.reshape(x, [batch, count, length, head_dim]), x);
  const parts = [unflatten(q, num_heads), unflatten(k, num_kv_heads), unflatten(v, num_kv_heads)];
  const byHead = concatAndFree(ops, parts, 1);
  const byToken = thenFree(ops, ops.transpose(byHead, [0, 2, 1, 3]), byHead);
  const width = (num_heads + 2 * num_kv_heads) * head_dim;
  const rows = thenFree(ops, ops.reshape(byToken, [batch * length, width]), byToken);
  return thenFree(ops, rotate(ops, rows, rope, 'backward'), rows);
}

/** `toHeads` for a product of queries alone [n, heads · head_dim]. */
export function toQueries({ ops, shape, rope }: HeadsPass, q: Tensor, dtype: Precision): Tensor {
  const rotated = castAndFree(ops, rotate(ops, q, rope, 'forward'), dtype);
  return thenFree(ops, headsFromRows(ops, rotated, shape, shape.head_dim), rotated);
}

/** The inverse of `toQueries` for gradients. Frees dq. */
export function fromQueries({ ops, shape, rope }: HeadsPass, dq: Tensor): Tensor {
  const wide = castAndFree(ops, dq, 'f32');
  const rows = thenFree(ops, rowsFromHeads(ops, wide, shape), wide);
  return thenFree(ops, rotate(ops, rows, rope, 'backward'), rows);
}

function rotate(ops: Ops, x: Tensor, rope: RotaryTable, direction: 'forward' | 'backward'): Tensor {
  return rope.kind === 'rotate' ? ops.rotate(x, rope[direction]) : ops.mul(x, rope.row);
}

/** softmax(q kᵀ + mask) v. Does not free the heads. */
export function attend(
  pass: AttentionPass,
  heads: Heads,
  keepProbabilities: boolean,
): AttentionOutput {
  const { ops, seen, softcap, sinks } = pass;
  switch (seen.kind) {
    case 'kernel': {
      const { o, stats } = ops.fused!.attend(heads, { ...seen.form, softcap, sinks });
      return { o, kept: [stats] };
    }
    case 'blocks':
      return attendInBlocks({ ...pass, plan: seen.plan }, heads);
    case 'rows':
      return attendRows({ ...pass, rowBlocks: seen.blocks }, heads, keepProbabilities);
  }
}

/**
 * Gradients of the heads for dO [n, heads · head_dim], with D = sum(dO · o) instead of sum(dP · P)
 * (FlashAttention, Dao et al. 2022). Frees none of its inputs.
 */
export function attendBackward(
  pass: AttentionPass,
  heads: Heads,
  output: AttentionOutput,
  dO: Tensor,
): AttentionGradient {
  const { ops, seen, softcap, sinks } = pass;
  switch (seen.kind) {
    case 'kernel': {
      const rows = ops.cast(dO, heads.v.dtype as Precision);
      const attended = { o: output.o, stats: output.kept![0]! };
      const form = { ...seen.form, softcap, sinks };
      const dHeads = ops.fused!.attendGrad(heads, form, attended, rows);
      ops.free(rows);
      return { dHeads, dDistances: { key: null, query: null } };
    }
    case 'blocks':
      return attendInBlocksBackward({ ...pass, plan: seen.plan }, heads, output, dO);
    case 'rows':
      return attendRowsBackward({ ...pass, rowBlocks: seen.blocks }, heads, output, dO);
  }
}
