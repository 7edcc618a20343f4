import type { RunHistory } from '../../../src/shared/runHistory';

/** Values derived from a run's steps, one per step, computed for new steps only. */
export class GrowingColumn {
  private values = new Float64Array(1024);
  private count = 0;
  private revision = -1;
  private setting: unknown;
  private history: RunHistory | undefined;
  private next: (step: number) => number = () => NaN;

  /**
   * A view that is valid until the next call. `begin` returns a function that computes the value of
   * each step by its index, in order; it is called again when earlier values are void, because the
   * history, its revision or `setting` differs.
   */
  update(
    history: RunHistory,
    setting: unknown,
    begin: () => (index: number) => number,
  ): Float64Array {
    if (
      history !== this.history ||
      history.revision !== this.revision ||
      setting !== this.setting
    ) {
      this.history = history;
      this.revision = history.revision;
      this.setting = setting;
      this.count = 0;
      this.next = begin();
    }
    if (history.length > this.values.length) this.grow(history.length);
    for (; this.count < history.length; this.count++)
      this.values[this.count] = this.next(this.count);
    return this.values.subarray(0, this.count);
  }

  private grow(length: number): void {
    const values = new Float64Array(2 * length);
    values.set(this.values);
    this.values = values;
  }
}
