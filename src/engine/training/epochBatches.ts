import { batchesOf } from '../../data/examples/batchOrder';
import type { Examples } from '../../data/examples/examples';
import type { TrainingSettings } from '../../shared/recipe';

/** The batches of each epoch, which depend on the seed and the epoch alone. Keeps one epoch. */
export class EpochBatches {
  private cached: { readonly epoch: number; readonly batches: readonly number[][] } | null = null;

  constructor(
    private readonly examples: Examples,
    private readonly settings: TrainingSettings,
  ) {}

  /** The indices of the examples in each batch. `epoch` counts from 0. */
  of(epoch: number): readonly number[][] {
    if (this.cached?.epoch !== epoch) {
      const { per_device_train_batch_size: batch_size, shuffle, seed } = this.settings;
      const batches = batchesOf(this.examples, { batch_size, shuffle, seed, epoch });
      this.cached = { epoch, batches };
    }
    return this.cached.batches;
  }
}
