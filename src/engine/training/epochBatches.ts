import { batchesOf } from '../../data/examples/batchOrder';
import type { Examples } from '../../data/examples/examples';
import { createRandom, shuffle as shuffled } from '../../shared/random';
import type { TrainingSettings } from '../../shared/recipe';

/**
 * The batches of each epoch, which depend on the seed and the epoch alone. Keeps one epoch. Fixed
 * batches are those of the first epoch in another order.
 */
export class EpochBatches {
  private cached: { readonly epoch: number; readonly batches: readonly number[][] } | null = null;

  constructor(
    private readonly examplesIn: (epoch: number) => Examples,
    private readonly settings: Pick<
      TrainingSettings,
      'per_device_train_batch_size' | 'shuffle' | 'seed'
    >,
    private readonly isFixed = false,
  ) {}

  /** The indices of the examples in each batch. `epoch` counts from 0. */
  of(epoch: number): readonly number[][] {
    if (this.cached?.epoch !== epoch) {
      const { per_device_train_batch_size: batch_size, shuffle, seed } = this.settings;
      const own = this.isFixed ? 0 : epoch;
      const made = batchesOf(this.examplesIn(own), { batch_size, shuffle, seed, epoch: own });
      const random = createRandom(seed, 'order of fixed batches', epoch);
      const isMixed = this.isFixed && shuffle && epoch > 0;
      this.cached = { epoch, batches: isMixed ? shuffled(made, random) : made };
    }
    return this.cached.batches;
  }
}
