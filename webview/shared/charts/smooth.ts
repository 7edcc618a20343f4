import type { RunHistory } from '../../../src/shared/runHistory';
import { GrowingColumn } from './growing';

/**
 * Exponential moving average without the bias of its start: s_n = w·s_(n-1) + (1 - w)·x_n, shown as
 * s_n / (1 - w^n). NaN and infinities are skipped.
 */
export class DebiasedMean {
  private sum = 0;
  private decay = 1;

  constructor(private readonly weight: number) {}

  /** The mean after x; NaN before the first number. */
  push(x: number): number {
    if (Number.isFinite(x)) {
      this.sum = this.weight * this.sum + (1 - this.weight) * x;
      this.decay *= this.weight;
    }
    return this.decay === 1 ? NaN : this.sum / (1 - this.decay);
  }
}

/** The smoothed loss of a run, computed for new steps only. */
export class SmoothedLoss {
  private readonly values = new GrowingColumn();

  /** One value for each step; a view that is valid until the next call. */
  update(history: RunHistory, weight: number): Float64Array {
    return this.values.update(history, weight, () => {
      const mean = new DebiasedMean(weight);
      return (i) => mean.push(history.column('loss')[i]!);
    });
  }
}
