import type { Products } from '../shared/products';
import type { BlockRows } from './ops/blockRows';
import type { Ops, Precision, Shape, Tensor } from './ops/ops';

/** In place of a row: its gradient does not count. */
export const NO_ROW = -1;

/** Collects the gradient of a weight that trains. */
export interface GradientSink {
  /** The rows that train; null: all. */
  readonly rows: Int32Array | null;
  /** Adds the gradient of these rows, and frees it. */
  accumulate(gradient: Tensor): Promise<void>;
  /** Adds row i of d [n, width] to row rows[i], unless NO_ROW, of the gradient. d is not freed. */
  accumulateRows(rows: Int32Array, d: Tensor): Promise<void>;
}

/** What a weight in blocks can do beside others. */
export interface QuantizedWeight {
  /** Below each other. */
  readonly parts: readonly BlockRows[];
  /** All numbers. [rows, width] The caller frees them. */
  numbers(dtype: Precision): Tensor;
  /** x Wᵀ in f32 for few rows x [m, width] in f32, with its numbers in f32. [m, rows] */
  fewRows(x: Tensor, products: Products): Tensor;
}

/** A weight of the base in the backend's memory: numbers, or blocks of a quantized matrix. */
export interface WeightTensor {
  readonly shape: Shape;
  /** Of products with it. */
  readonly dtype: Precision;
  /** Null if the weight is frozen. */
  readonly gradientSink: GradientSink | null;
  /** Null for numbers. */
  readonly quantized: QuantizedWeight | null;
  /** Calls `compute` with its numbers, which must not be used afterwards. */
  use<T>(compute: (numbers: Tensor) => T): T;
  /** Until the result is called, `use` does not compute the numbers again. */
  keepNumbers(): () => void;
  /** Its rows at `indices` [n]. [n, width] */
  gather(indices: Tensor): Tensor;
  dispose(): void;
}

/** Numbers. `tensor` is replaced when training changes it. */
export class DenseWeight implements WeightTensor {
  readonly quantized = null;

  /** Takes ownership of `tensor`. */
  constructor(
    private readonly ops: Ops,
    public tensor: Tensor,
    readonly gradientSink: GradientSink | null,
  ) {}

  get shape(): Shape {
    return this.tensor.shape;
  }

  get dtype(): Precision {
    return this.tensor.dtype as Precision;
  }

  use<T>(compute: (numbers: Tensor) => T): T {
    return compute(this.tensor);
  }

  keepNumbers(): () => void {
    return () => undefined;
  }

  gather(indices: Tensor): Tensor {
    return this.ops.gather(this.tensor, indices);
  }

  dispose(): void {
    this.ops.free(this.tensor);
  }
}
