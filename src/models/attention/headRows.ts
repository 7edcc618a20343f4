import { thenFree, type Ops, type Tensor } from '../ops/ops';

// Rows of tokens [n, heads · width] as the rows of their heads.

/** Added to a squared length. */
const LENGTH_EPS = 1e-6;

/** x [n, heads · width] -> [n · heads, width] */
const byHead = (ops: Ops, x: Tensor, width: number): Tensor =>
  ops.reshape(x, [(x.shape[0]! * x.shape[1]!) / width, width]);

/** Each head's row with length 1: x / √(Σx² + ε). Frees nothing. */
export function unitHeads(ops: Ops, x: Tensor, width: number): Tensor {
  const rows = byHead(ops, x, width);
  const inverse = inverseLengths(ops, rows);
  const unit = thenFree(ops, ops.mul(rows, inverse), rows, inverse);
  return thenFree(ops, ops.reshape(unit, x.shape), unit);
}

/** The gradient of x: (g - u (u · g)) / length. Frees nothing. */
export function unitHeadsBackward(ops: Ops, x: Tensor, dUnit: Tensor, width: number): Tensor {
  const [rows, g] = [byHead(ops, x, width), byHead(ops, dUnit, width)];
  const inverse = inverseLengths(ops, rows);
  const u = thenFree(ops, ops.mul(rows, inverse), rows);
  const products = ops.mul(u, g);
  const dot = thenFree(ops, ops.sum(products), products);
  const parallel = thenFree(ops, ops.mul(u, dot), u, dot);
  const orthogonal = thenFree(ops, ops.sub(g, parallel), g, parallel);
  const dx = thenFree(ops, ops.mul(orthogonal, inverse), orthogonal, inverse);
  return thenFree(ops, ops.reshape(dx, x.shape), dx);
}

function inverseLengths(ops: Ops, rows: Tensor): Tensor {
  const width = rows.shape[1]!;
  const r = ops.rms(rows, LENGTH_EPS / width);
  return thenFree(ops, ops.scale(r, 1 / Math.sqrt(width)), r);
}

/** Each head `group` times: x [n, heads · width] -> [n, heads · group · width]. Frees x. */
export function repeatHeads(ops: Ops, x: Tensor, width: number, group: number): Tensor {
  if (group === 1) return x;
  const [n, all] = x.shape as [number, number];
  const rows = thenFree(ops, ops.reshape(x, [(n * all) / width, 1, width]), x);
  const copies = ops.concat(new Array<Tensor>(group).fill(rows), 1);
  const repeated = thenFree(ops, ops.reshape(copies, [n, all * group]), copies);
  return thenFree(ops, repeated, rows);
}

/** The gradient of `repeatHeads`: the sums over each group. Frees d. */
export function sumHeads(ops: Ops, d: Tensor, width: number, group: number): Tensor {
  if (group === 1) return d;
  const [n, all] = d.shape as [number, number];
  const rows = thenFree(ops, ops.reshape(d, [(n * all) / (width * group), group, width]), d);
  const parts = ops.split(rows, new Array<number>(group).fill(1), 1);
  const sum = thenFree(ops, ops.addN(parts), rows, ...parts);
  return thenFree(ops, ops.reshape(sum, [n, all / group]), sum);
}
