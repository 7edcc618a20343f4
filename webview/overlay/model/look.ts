import { CHART_COLORS, CHARTS, METRICS } from '../../../src/shared/metrics/table';
import type { OverlayMetric } from '../../../src/shared/pages/overlay/protocol';
import { curvesFormat, LINE_STYLES, type Curves, type SeriesSpec } from '../../shared/charts/spec';

const DASHES: readonly (readonly number[])[] = [[], [6, 4], [2, 3], [10, 3, 2, 3]];

/** Runs differ in colour, then in dashes: sixteen can be told apart by their lines alone. */
export const lookOf = (index: number): Pick<SeriesSpec<string>, 'color' | 'dash'> => ({
  color: CHART_COLORS[index % CHART_COLORS.length]!,
  dash: DASHES[Math.floor(index / CHART_COLORS.length) % DASHES.length]!,
});

export const isLoss = (metric: OverlayMetric): boolean => METRICS[metric].curve.chart === 'loss';

/** How the values of a metric are written. */
export const formatOf = (metric: OverlayMetric): Curves<string>['format'] =>
  curvesFormat(METRICS[metric].number).format;

/** The chart of one metric of several runs, each with its index in the list of all runs. */
export function curvesOf(
  metric: OverlayMetric,
  runs: readonly (readonly [dir: string, index: number])[],
): Curves<string> {
  const { number, curve } = METRICS[metric];
  return {
    fromZero: CHARTS[curve.chart].fromZero,
    ...curvesFormat(number),
    series: runs.map(([id, index]) => ({
      ...LINE_STYLES.evaluated,
      points: curve.line === 'evaluated',
      id,
      ...lookOf(index),
    })),
  };
}
