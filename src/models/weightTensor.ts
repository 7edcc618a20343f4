import type { Ops, Tensor } from './ops/ops';

/** Collects the gradient of a weight that trains. */
export interface GradientSink {
  /** The rows that train; null: all. */
  readonly rows: Int32Array | null;
  /** Adds the gradient of these rows, and frees it. */
  accumulate(gradient: Tensor): Promise<void>;
  /** Adds row i of d [n, width] to row rows[i] of the gradient. d is not freed. */
  accumulateRows(rows: Int32Array, d: Tensor): Promise<void>;
}

/** A weight of the base in the backend's memory. `tensor` is replaced when training changes it. */
export class WeightTensor {
  /** Takes ownership of `tensor`. `gradientSink`: null if the weight is frozen. */
  constructor(
    private readonly ops: Ops,
    public tensor: Tensor,
    readonly gradientSink: GradientSink | null,
  ) {}

  dispose(): void {
    this.ops.free(this.tensor);
  }
}
