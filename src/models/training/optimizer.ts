import type { NamedTensor, OptimizerSettings, OptimizerState, ReadTensor } from '../model';

/**
 * What takes a model's gradients and steps: the adapter's numbers in one flat vector, or every
 * weight where it lies.
 */
export interface Optimizer {
  /** Numbers that train. */
  readonly size: number;
  /**
   * Divides the accumulated gradients by `labelled`, clips, steps AdamW, clears them. Gives the
   * gradient's L2 norm before clipping.
   */
  step(labelled: number, settings: OptimizerSettings): Promise<number>;
  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>>;
  optimizerState(): OptimizerState;
  restore(step: number, read: ReadTensor): Promise<void>;
  /** Work has been broken off: the gradients so far are of no use. */
  discardGradients(): void;
}
