import type { FusedOps } from './fusedOps';
import type { Precision, Shape, Tensor } from './tensor';

export type { ElementType, Precision, Shape, Tensor } from './tensor';

/** Rows of `from` tokens or more are attended to in blocks of so many queries and keys. */
export interface AttentionBlocks {
  readonly from: number;
  readonly queries: number;
  readonly keys: number;
}

/** Below 4096 tokens, whole rows of scores take less time. */
export const LONG_ROWS: AttentionBlocks = { from: 4096, queries: 256, keys: 1024 };

/**
 * The operations that the models are written in. Every result, including that of a reshape, is a
 * new tensor that the caller frees. Elementwise operations and reductions compute and return f32,
 * whatever their inputs, and broadcast as numpy does. Products and operations that only move
 * numbers keep the type of their inputs. All indices are i32.
 */
export interface Ops {
  /** The backend and its device, for messages. */
  readonly name: string;
  /** Number of live tensors. */
  live(): number;
  /** A mark for `freeSince`. */
  mark(): number;
  /** Frees all tensors made since `mark` was taken, to clean up after interrupted work. */
  freeSince(mark: number): void;
  /**
   * Awaited between two long operations, so that the thread can handle messages. May be replaced:
   * it can wait, or throw to interrupt the work.
   */
  yieldPoint: () => Promise<void>;
  readonly supportsBF16: boolean;
  /** Null if the backend has no fused kernels. */
  readonly fused: FusedOps | null;
  /** How attention over long rows is computed without fused kernels. */
  readonly attentionBlocks: AttentionBlocks;
  /** Host memory for `upload` that the backend can use in place instead of copying it. */
  allocateHostF32(elements: number): Float32Array;
  /** The same for the bits of bf16. */
  allocateHostBF16(elements: number): Uint16Array;
  /** The same for i32. */
  allocateHostI32(elements: number): Int32Array;
  /**
   * `data` must not be changed afterwards: the backend may use it in place. A Uint16Array holds the
   * bits of bf16.
   */
  upload(data: Float32Array | Int32Array | Uint16Array, shape: Shape): Tensor;
  /** The values of x, widened to f32. */
  download(x: Tensor): Promise<Float32Array>;
  free(...tensors: readonly Tensor[]): void;
  /** Rounds f32 to bf16, or widens bf16 to f32. */
  cast(x: Tensor, dtype: Precision): Tensor;

  /**
   * [m, k] x [k, n] -> [m, n]; either operand may be read as its transpose; both have one type.
   * Products of bf16 are summed in f32.
   */
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  /** The same over a leading batch dimension: [batch, m, k] x [batch, k, n]. */
  batchMatMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  div(a: Tensor, b: Tensor): Tensor;
  /** Sum of tensors of one shape, in one pass. */
  addN(terms: readonly Tensor[]): Tensor;
  /** x times a number. */
  scale(x: Tensor, factor: number): Tensor;
  tanh(x: Tensor): Tensor;
  /** Error function. */
  erf(x: Tensor): Tensor;
  exp(x: Tensor): Tensor;
  /** log(1 + exp(x)); its gradient is sigmoid(x). */
  softplus(x: Tensor): Tensor;
  sqrt(x: Tensor): Tensor;
  relu(x: Tensor): Tensor;
  /** 1 where x > 0, else 0: the gradient of relu. */
  positive(x: Tensor): Tensor;
  sigmoid(x: Tensor): Tensor;
  /** dy · y · (1 - y) for y = sigmoid(x). */
  sigmoidGrad(y: Tensor, dy: Tensor): Tensor;
  /** Over the last axis. */
  softmax(x: Tensor): Tensor;
  /** Over the last axis, which keeps length 1. */
  sum(x: Tensor): Tensor;
  /** Over the last axis, which keeps length 1. */
  max(x: Tensor): Tensor;
  /** 1 / √(mean(x²) + eps) over the last axis, which keeps length 1. */
  rms(x: Tensor, eps: number): Tensor;

  reshape(x: Tensor, shape: Shape): Tensor;
  transpose(x: Tensor, perm: readonly number[]): Tensor;
  concat(parts: readonly Tensor[], axis: number): Tensor;
  split(x: Tensor, sizes: readonly number[], axis: number): Tensor[];
  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
  /** Adds `before` and `after` zeros along one axis. */
  pad(x: Tensor, axis: number, before: number, after: number): Tensor;
  /** Rows of x (along its first axis) at `indices` [n]. */
  gather(x: Tensor, indices: Tensor): Tensor;
  /** Elements of x [n, m] at `places` [k, 2] of (row, column) -> [k]. */
  gatherElements(x: Tensor, places: Tensor): Tensor;
  /**
   * x with other numbers at `places`: rows of x at [n, 1], with `values` [n, m]; or elements at [n,
   * 2] of (row, column), with `values` [n]. x and `values` have one type, no place is twice there.
   */
  scatter(x: Tensor, places: Tensor, values: Tensor): Tensor;
  /**
   * RoPE in one pass: neighbouring pairs (a, b) of x as complex numbers a + ib, times those of
   * `table`, whose size is that of x without its first axis.
   */
  rotate(x: Tensor, table: Tensor): Tensor;
  /** 0 with probability `rate`, else 1 / (1 - rate); the same mask for the same seed. */
  dropoutMask(shape: Shape, rate: number, seed: number): Tensor;
}

/** Lets the thread handle messages between two long operations. */
export const yieldToEventLoop = (): Promise<void> =>
  new Promise((resolve) => setImmediate(resolve));

/** Number of elements of a tensor of this shape. */
export const elementCount = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

/** Returns `result` and frees what it was made of: `thenFree(ops, ops.add(a, b), a, b)`. */
export function thenFree(ops: Ops, result: Tensor, ...inputs: readonly Tensor[]): Tensor {
  ops.free(...inputs);
  return result;
}

/** x in that precision; x itself if it has it already, else x is freed. */
export function castAndFree(ops: Ops, x: Tensor, dtype: Precision): Tensor {
  return x.dtype === dtype ? x : thenFree(ops, ops.cast(x, dtype), x);
}

/** Concatenates the parts along an axis and frees them; a single part is returned as it is. */
export function concatAndFree(ops: Ops, parts: readonly Tensor[], axis: number): Tensor {
  return parts.length === 1 ? parts[0]! : thenFree(ops, ops.concat(parts, axis), ...parts);
}

/**
 * The sum of `terms`, which are freed, and of `kept`, which is not. The fused kernel returns
 * `dtype`, other backends f32; a single term is returned as it is.
 */
export function sumAndFree(
  ops: Ops,
  terms: readonly Tensor[],
  kept: Tensor | null = null,
  dtype: Precision = 'f32',
): Tensor {
  const all = kept ? [...terms, kept] : terms;
  const [first, second] = all;
  if (first && !second) return first;
  if (ops.fused && all.length <= 3) return thenFree(ops, ops.fused.sum(all, dtype), ...terms);
  const sum = first && second && all.length === 2 ? ops.add(first, second) : ops.addN(all);
  ops.free(...terms);
  return sum;
}

/** Downloads x and frees it. */
export function downloadAndFree(ops: Ops, x: Tensor): Promise<Float32Array> {
  return ops.download(x).finally(() => ops.free(x));
}

/** Calls `compute` with x in f32, which is freed afterwards if it had to be converted. */
export function withF32<T>(ops: Ops, x: Tensor, compute: (wide: Tensor) => T): T {
  if (x.dtype !== 'bf16') return compute(x);
  const wide = ops.cast(x, 'f32');
  const result = compute(wide);
  ops.free(wide);
  return result;
}

/** Sums of the columns of x [n, m] -> [1, m], with fused kernels in f64. */
export function columnSums(ops: Ops, x: Tensor): Tensor {
  if (ops.fused) return ops.fused.columnSums(x);
  const ones = ops.upload(new Float32Array(x.shape[0]!).fill(1), [1, x.shape[0]!]);
  const sums = withF32(ops, x, (wide) => ops.matMul(ones, wide));
  return thenFree(ops, sums, ones);
}

/** Sums of the columns of x · y, both [n, m] -> [1, m], with fused kernels in f64. */
export function columnDots(ops: Ops, x: Tensor, y: Tensor): Tensor {
  if (ops.fused) return ops.fused.columnSums(x, y);
  const products = ops.mul(x, y);
  return thenFree(ops, columnSums(ops, products), products);
}
