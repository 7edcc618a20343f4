import { batchesOf } from '../../data/examples/batchOrder';
import type { Example } from '../../data/examples/example';
import type { TrainingSettings } from '../../shared/recipe';

/** The batches of each epoch, which depend on the seed and the epoch alone. Keeps one epoch. */
export class EpochBatches {
  private cached: { readonly epoch: number; readonly batches: readonly Example[][] } | null = null;

  constructor(
    private readonly examples: readonly Example[],
    private readonly settings: TrainingSettings,
  ) {}

  /** `epoch` counts from 0. */
  of(epoch: number): readonly Example[][] {
    if (this.cached?.epoch !== epoch) {
      const { per_device_train_batch_size: batch_size, shuffle, seed } = this.settings;
      const batches = batchesOf(this.examples, { batch_size, shuffle, seed, epoch });
      this.cached = { epoch, batches };
    }
    return this.cached.batches;
  }
}
