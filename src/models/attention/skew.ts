import { thenFree, type Ops, type Tensor } from '../ops/ops';

/**
 * x [n, rows, rows + columns - 1] -> y [n, rows, columns] with y[r, c] = x[r, c - r + rows - 1]:
 * each row one to the left of that below it (Transformer-XL, Dai et al. 2019). Frees x.
 */
export function skew(ops: Ops, x: Tensor, columns: number): Tensor {
  const [n, rows, width] = x.shape as [number, number, number];
  if (rows === 1) return x;
  const flat = thenFree(ops, ops.reshape(x, [n, rows * width]), x);
  const kept = thenFree(ops, ops.slice(flat, [0, rows - 1], [n, rows * (width - 1)]), flat);
  const moved = thenFree(ops, ops.reshape(kept, [n, rows, width - 1]), kept);
  return thenFree(ops, ops.slice(moved, [0, 0, 0], [n, rows, columns]), moved);
}

/** The gradient of x for dy [n, rows, columns], which is not freed. */
export function skewBackward(ops: Ops, dy: Tensor): Tensor {
  const [n, rows, columns] = dy.shape as [number, number, number];
  if (rows === 1) return ops.reshape(dy, dy.shape);
  const width = rows + columns - 1;
  const moved = ops.pad(dy, 2, 0, width - 1 - columns);
  const kept = thenFree(ops, ops.reshape(moved, [n, rows * (width - 1)]), moved);
  const flat = thenFree(ops, ops.pad(kept, 1, rows - 1, 1), kept);
  return thenFree(ops, ops.reshape(flat, [n, rows, width]), flat);
}
