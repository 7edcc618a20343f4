import type { NamedTensor, OptimizerSettings, OptimizerState, ReadTensor } from '../model';

/** AdamW over what trains: the adapter's tensors, or every weight of the base. */
export interface Optimizer {
  /** Number of trained parameters. */
  readonly size: number;
  /**
   * Divides the accumulated gradients by `labelled`, clips them, takes a step and discards them.
   * Returns their L2 norm before clipping.
   */
  step(labelled: number, settings: OptimizerSettings): Promise<number>;
  /** The accumulated gradients divided by `labelled`, by name. */
  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>>;
  optimizerState(): OptimizerState;
  /** @throws RangeError if the state is that of another model. */
  restore(step: number, read: ReadTensor): Promise<void>;
  /** Discards the accumulated gradients, because the step was interrupted. */
  discardGradients(): void;
}
