import type { RunHistory } from '../../../src/shared/history';

/** Exponential moving average without the bias of its start: s_n = w·s_(n-1) + (1 - w)·x_n, shown as s_n / (1 - w^n). NaN and infinities are skipped. */
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
  private values = new Float64Array(1024);
  private count = 0;
  private revision = -1;
  private weight = -1;
  private history: RunHistory | undefined;
  private mean = new DebiasedMean(0);

  /** One value for each step; a view that is valid until the next call. */
  update(history: RunHistory, weight: number): Float64Array {
    if (history !== this.history || history.revision !== this.revision || weight !== this.weight) this.restart(history, weight);
    if (history.length > this.values.length) this.grow(history.length);
    const loss = history.column('loss');
    for (; this.count < loss.length; this.count++) this.values[this.count] = this.mean.push(loss[this.count]!);
    return this.values.subarray(0, this.count);
  }

  private restart(history: RunHistory, weight: number): void {
    this.history = history;
    this.revision = history.revision;
    this.weight = weight;
    this.count = 0;
    this.mean = new DebiasedMean(weight);
  }

  private grow(length: number): void {
    const values = new Float64Array(2 * length);
    values.set(this.values);
    this.values = values;
  }
}
