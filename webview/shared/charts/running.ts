import type { StepField } from '../../../src/shared/metrics/table';
import type { RunHistory } from '../../../src/shared/runHistory';

/** Sum or maximum of a column that grows; values that are not finite are left out. */
export class Running {
  private value: number;
  private seen = 0;
  private revision = -1;
  private history: RunHistory | undefined;

  constructor(
    private readonly field: StepField,
    private readonly start: number,
    private readonly merge: (value: number, next: number) => number,
  ) {
    this.value = start;
  }

  /** Looks at new steps only, unless lines were taken back or it is another history. */
  update(history: RunHistory): number {
    if (history !== this.history || history.revision !== this.revision) {
      this.history = history;
      this.revision = history.revision;
      this.value = this.start;
      this.seen = 0;
    }
    const column = history.column(this.field);
    for (; this.seen < column.length; this.seen++) {
      const next = column[this.seen]!;
      if (Number.isFinite(next)) this.value = this.merge(this.value, next);
    }
    return this.value;
  }
}
