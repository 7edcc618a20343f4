import type { FusedOps } from './fused';
import type { Precision, Shape, Tensor } from './tensor';

export type { ElementType, Precision, Shape, Tensor } from './tensor';

/**
 * The few operations that the models are written in. Every result is a new tensor (also a
 * reshape's) that the caller frees. Elementwise operations and reductions compute and give f32,
 * whatever they read, and broadcast as numpy does. Products and what only moves numbers keep their
 * operands' type. All indices are i32.
 */
export interface Ops {
  /** What computes: for messages. */
  readonly name: string;
  /** Tensors alive now. */
  live(): number;
  /** Frees all that has been made since `mark` was called: what work that was broken off left. */
  mark(): number;
  freeSince(mark: number): void;
  /**
   * Awaited between two long operations: lets the thread answer messages. Whoever runs the thread
   * may wait here, or break the work off by an error.
   */
  yieldPoint: () => Promise<void>;
  /** Whether there are tensors of bf16. */
  readonly supportsBF16: boolean;
  /** Null where the backing has none. */
  readonly fused: FusedOps | null;
  /**
   * Room for data to upload that the backing can take over without a copy: f32, or the bits of
   * bf16.
   */
  allocateHostF32(elements: number): Float32Array;
  allocateHostBF16(elements: number): Uint16Array;
  /** `data` may not be changed afterwards: a backing may keep it. Uint16Array: bits of bf16. */
  upload(data: Float32Array | Int32Array | Uint16Array, shape: Shape): Tensor;
  /** Widened to f32. */
  download(x: Tensor): Promise<Float32Array>;
  free(...dead: readonly Tensor[]): void;
  /** f32 rounded to bf16, or bf16 widened. */
  cast(x: Tensor, dtype: Precision): Tensor;

  /**
   * [m, k] x [k, n] -> [m, n], either operand read as its transpose; both of one type. Sums of bf16
   * are f32 within.
   */
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  /** The same over a leading batch dimension: [batch, m, k] x [batch, k, n]. */
  batchMatMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  div(a: Tensor, b: Tensor): Tensor;
  /** Sum of tensors of one shape, in one pass. */
  addN(parts: readonly Tensor[]): Tensor;
  /** x times a number. */
  scale(x: Tensor, factor: number): Tensor;
  tanh(x: Tensor): Tensor;
  /** Error function. */
  erf(x: Tensor): Tensor;
  exp(x: Tensor): Tensor;
  sqrt(x: Tensor): Tensor;
  relu(x: Tensor): Tensor;
  /** 1 where x > 0, else 0. */
  positive(x: Tensor): Tensor;
  sigmoid(x: Tensor): Tensor;
  /** dy · y · (1 - y) for y = sigmoid(x). */
  sigmoidGrad(y: Tensor, dy: Tensor): Tensor;
  /** Over the last axis. */
  softmax(x: Tensor): Tensor;
  /** Over the last axis, which stays with length 1. */
  sum(x: Tensor): Tensor;
  max(x: Tensor): Tensor;
  /** 1 / √(mean(x²) + eps) over the last axis, which stays with length 1. */
  rms(x: Tensor, eps: number): Tensor;

  reshape(x: Tensor, shape: Shape): Tensor;
  transpose(x: Tensor, perm: readonly number[]): Tensor;
  concat(parts: readonly Tensor[], axis: number): Tensor;
  split(x: Tensor, sizes: readonly number[], axis: number): Tensor[];
  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
  /** Zeros before and after along one axis. */
  pad(x: Tensor, axis: number, before: number, after: number): Tensor;
  /** Rows of `x` (along its first axis) at `indices` [n]. */
  gather(x: Tensor, indices: Tensor): Tensor;
  /** Elements of x [n, m] at `places` [k, 2] of (row, column) -> [k]. */
  gatherElements(x: Tensor, places: Tensor): Tensor;
  /**
   * Neighbouring pairs (a, b) of x as complex numbers a + ib times those of `table`, which holds as
   * many numbers as x has after its first axis: RoPE in one pass.
   */
  rotate(x: Tensor, table: Tensor): Tensor;
  /** 0 with probability `rate`, else 1 / (1 - rate); the same for the same seed. */
  dropoutMask(shape: Shape, rate: number, seed: number): Tensor;
}

/** Lets the thread answer messages between two long operations. */
export const yieldToEventLoop = (): Promise<void> =>
  new Promise((resolve) => setImmediate(resolve));

export const elementCount = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

/** x, which is taken over, in that precision. */
export function castAndFree(ops: Ops, x: Tensor, dtype: Precision): Tensor {
  return x.dtype === dtype ? x : thenFree(ops, ops.cast(x, dtype), x);
}

/** x in f32 for as long as `compute` takes. */
export function withF32<T>(ops: Ops, x: Tensor, compute: (wide: Tensor) => T): T {
  if (x.dtype !== 'bf16') return compute(x);
  const wide = ops.cast(x, 'f32');
  const result = compute(wide);
  ops.free(wide);
  return result;
}

/** Sums of the columns of x [n, m] -> [1, m]. */
export function columnSums(ops: Ops, x: Tensor): Tensor {
  const ones = ops.upload(new Float32Array(x.shape[0]!).fill(1), [1, x.shape[0]!]);
  return thenFree(
    ops,
    withF32(ops, x, (wide) => ops.matMul(ones, wide)),
    ones,
  );
}

/** Frees what a result was made of: `use(ops, ops.add(a, b), a, b)`. */
export function thenFree(ops: Ops, result: Tensor, ...dead: readonly Tensor[]): Tensor {
  ops.free(...dead);
  return result;
}

/** The parts one after the other along an axis; takes them over. */
export function concatAndFree(ops: Ops, parts: readonly Tensor[], axis: number): Tensor {
  return parts.length === 1 ? parts[0]! : thenFree(ops, ops.concat(parts, axis), ...parts);
}
