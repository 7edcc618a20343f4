import type { OverlayMetric } from '../../../src/shared/pages/overlay/protocol';
import type { ChartChoices } from '../../shared/charts/choices';
import { firstAtLeast, type Range } from '../../shared/charts/decimate';
import type { Line, LineSource } from '../../shared/charts/runLines';
import type { ShownRun } from './runs';

const NOTHING: Line = { xs: new Float64Array(0), ys: new Float64Array(0) };

/** One quantity of many runs. */
export class OverlayLines implements LineSource<string> {
  private runs = new Map<string, ShownRun>();
  private quantity: OverlayMetric = 'validation';

  update(
    runs: readonly ShownRun[],
    quantity: OverlayMetric,
    { smoothing, axis }: ChartChoices,
  ): void {
    this.quantity = quantity;
    this.runs = new Map(runs.map((run) => [run.dir, run]));
    for (const run of runs) run.lines.update(run.history, smoothing, axis);
  }

  of(dir: string): Line {
    return this.runs.get(dir)?.lines.of(this.quantity) ?? NOTHING;
  }

  /**
   * The last value until x, as no two runs have theirs at the same tokens or seconds; NaN before
   * the first and behind the last.
   */
  at(dir: string, x: number): number {
    const { xs, ys } = this.of(dir);
    const next = firstAtLeast(xs, x);
    if (xs[next] === x) return ys[next]!;
    return next > 0 && next < xs.length ? ys[next - 1]! : NaN;
  }

  extent(): Range {
    const all = [...this.runs.values()].map((run) => run.lines.extent());
    return all.length === 0
      ? { from: 0, to: 1 }
      : {
          from: Math.min(...all.map(({ from }) => from)),
          to: Math.max(...all.map(({ to }) => to)),
        };
  }

  /** Where the longest line has its values: the cursor walks along it. */
  places(): Float64Array {
    return [...this.runs.keys()]
      .map((dir) => this.of(dir).xs)
      .reduce(
        (longest, xs) => ((xs.at(-1) ?? -1) > (longest.at(-1) ?? -1) ? xs : longest),
        NOTHING.xs,
      );
  }
}
