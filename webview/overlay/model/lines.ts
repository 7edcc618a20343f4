import type { OverlayMetric } from '../../../src/shared/pages/overlay/protocol';
import type { ChartChoices } from '../../shared/charts/choices';
import { firstAtLeast, type Range, type SeriesPoints } from '../../shared/charts/decimate';
import type { LineSource } from '../../shared/charts/runLines';
import type { OverlayRun } from './runs';

const NOTHING: SeriesPoints = { xs: new Float64Array(0), ys: new Float64Array(0) };

/** The curves of one metric, one for each run. */
export class OverlayLines implements LineSource<string> {
  private runs = new Map<string, OverlayRun>();
  private metric: OverlayMetric = 'validation';

  update(
    runs: readonly OverlayRun[],
    metric: OverlayMetric,
    { smoothing, axis }: ChartChoices,
  ): void {
    this.metric = metric;
    this.runs = new Map(runs.map((run) => [run.dir, run]));
    for (const run of runs) run.lines.update(run.history, smoothing, axis);
  }

  of(dir: string): SeriesPoints {
    return this.runs.get(dir)?.lines.of(this.metric) ?? NOTHING;
  }

  /**
   * The last value until x, since two runs rarely have values at the same tokens or seconds; NaN
   * outside the curve.
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

  /** x of the values of the longest curve: the cursor moves along it. */
  places(): Float64Array {
    return [...this.runs.keys()]
      .map((dir) => this.of(dir).xs)
      .reduce(
        (longest, xs) => ((xs.at(-1) ?? -1) > (longest.at(-1) ?? -1) ? xs : longest),
        NOTHING.xs,
      );
  }
}
