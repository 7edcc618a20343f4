import type { Ops, Tensor } from './ops/ops';

/** Takes the gradient of a tensor that trains. */
export interface GradientSink {
  /** Adds the gradient of the whole tensor, which it takes over. */
  accumulate(gradient: Tensor): Promise<void>;
  /** Adds each row of d [n, width], which stays, to that of the tensor's row. */
  accumulateRows(rows: Int32Array, d: Tensor): Promise<void>;
}

/**
 * A tensor of the base as the model computes with it: made anew whenever what trains in it changes.
 */
export class WeightTensor {
  constructor(
    private readonly ops: Ops,
    public tensor: Tensor,
    readonly gradientSink: GradientSink | null,
  ) {}

  dispose(): void {
    this.ops.free(this.tensor);
  }
}
