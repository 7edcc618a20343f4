import type { Heads } from '../ops/fusedOps';
import { thenFree, type Ops, type Tensor } from '../ops/ops';
import type { AttentionShape } from './headLayout';

// Blocks of queries, keys and values as batches of matrices. The query heads of one kv head are
// rows of one matrix.

interface RowsPass {
  readonly ops: Ops;
  readonly shape: AttentionShape;
}

/** Queries start..end, and keys from..to. */
export interface BlockRange {
  readonly start: number;
  readonly end: number;
  readonly from: number;
  readonly to: number;
}

/** The queries, keys and values of a block, as batches of matrices. */
export function headsOfBlock(pass: RowsPass, { q, k, v }: Heads, block: BlockRange): Heads {
  return {
    q: queryRows(pass, q, block, pass.shape.head_dim),
    k: sliceRange(pass.ops, k, 1, block),
    v: sliceRange(pass.ops, v, 1, block),
  };
}

/** [batch, heads, length, width] -> the block's rows [batch · kv_heads, group · rows, width] */
export function queryRows(
  { ops, shape }: RowsPass,
  x: Tensor,
  { start, end }: BlockRange,
  width: number,
): Tensor {
  const rows = sliceRange(ops, x, 2, { from: start, to: end });
  const { batch, num_heads, num_kv_heads } = shape;
  const group = num_heads / num_kv_heads;
  const matrices = [batch * num_kv_heads, group * (end - start), width];
  return thenFree(ops, ops.reshape(rows, matrices), rows);
}

/** [batch · kv_heads, group · rows, head_dim] -> [batch, heads, rows, head_dim]. Frees x. */
export function toQueryShape(
  { ops, shape: { batch, num_heads, head_dim } }: RowsPass,
  x: Tensor,
  { start, end }: BlockRange,
): Tensor {
  return thenFree(ops, ops.reshape(x, [batch, num_heads, end - start, head_dim]), x);
}

/** x[from..to] along an axis; without a copy if that is all of x. */
export function sliceRange(
  ops: Ops,
  x: Tensor,
  axis: number,
  { from, to }: Pick<BlockRange, 'from' | 'to'>,
): Tensor {
  if (from === 0 && to === x.shape[axis]) return ops.reshape(x, x.shape);
  return ops.slice(
    x,
    x.shape.map((_, i) => (i === axis ? from : 0)),
    x.shape.map((size, i) => (i === axis ? to - from : size)),
  );
}

/** [batch, heads, length, head_dim] -> [n, heads · head_dim] */
export function rowsFromHeads(
  ops: Ops,
  x: Tensor,
  { batch, length, num_heads, head_dim }: AttentionShape,
): Tensor {
  const rows = ops.transpose(x, [0, 2, 1, 3]);
  return thenFree(ops, ops.reshape(rows, [batch * length, num_heads * head_dim]), rows);
}

/** [n, heads · width] -> [batch, heads, length, width] */
export function headsFromRows(
  ops: Ops,
  x: Tensor,
  { batch, length, num_heads }: AttentionShape,
  width: number,
): Tensor {
  const rows = ops.reshape(x, [batch, length, num_heads, width]);
  return thenFree(ops, ops.transpose(rows, [0, 2, 1, 3]), rows);
}

/** sum(o · dO) of each head's rows: [n, heads · head_dim] twice -> [batch, heads, length, 1] */
export function rowDotProducts({ ops, shape }: RowsPass, o: Tensor, dO: Tensor): Tensor {
  const { batch, length, num_heads, head_dim } = shape;
  if (ops.fused) {
    const dots = ops.fused.rowDots(o, dO, num_heads);
    return thenFree(ops, headsFromRows(ops, dots, shape, 1), dots);
  }
  const product = ops.mul(o, dO);
  const byHead = [batch * length, num_heads, head_dim];
  const rows = thenFree(ops, ops.reshape(product, byHead), product);
  const dots = thenFree(ops, ops.sum(rows), rows);
  return thenFree(ops, headsFromRows(ops, dots, shape, 1), dots);
}
