import type { ChartColor, LineRole, NumberKind } from '../../../src/shared/metrics/table';
import type { Formatter } from '../format';

/** How a line looks. Lines of one chart differ in width, dashes or points, not in colour alone. */
export interface LineStyle {
  readonly width: number;
  readonly dash: readonly number[];
  /** Whether each value is marked by a point. */
  readonly points: boolean;
  /** Below 1 for a line that others are drawn over. */
  readonly alpha: number;
}

/** One line of a chart. */
export interface SeriesSpec<Id extends string> extends LineStyle {
  readonly id: Id;
  readonly color: ChartColor;
}

export const LINE_STYLES: Readonly<Record<LineRole, LineStyle>> = {
  single: { width: 1.5, dash: [], points: false, alpha: 1 },
  noisy: { width: 1, dash: [], points: false, alpha: 0.6 },
  smoothed: { width: 2.5, dash: [], points: false, alpha: 1 },
  evaluated: { width: 2, dash: [6, 4], points: true, alpha: 1 },
};

/** The lines of a chart, and its value axis. */
export interface Curves<Id extends string> {
  readonly fromZero: boolean;
  readonly series: readonly SeriesSpec<Id>[];
  readonly format: (formatter: Formatter, value: number) => string;
  /** Upper bound of all values. */
  readonly most?: number;
  /**
   * Distance between ticks of the value axis for a highest value, for units in which round decimal
   * numbers do not look round.
   */
  readonly tickStep?: (max: number) => number;
}

/** How a chart writes its values. */
export const curvesFormat = (kind: NumberKind): Pick<Curves<string>, 'format' | 'tickStep'> => ({
  format: (formatter, value) => formatter[kind](value),
  ...(kind === 'bytes' && { tickStep: byteTickStep }),
});

const MOST_TICKS = 5;

/**
 * The smallest of 1, 2, 5, 10, 20… of the largest unit (powers of 1024) that needs no more than
 * MOST_TICKS ticks.
 */
export function byteTickStep(max: number): number {
  const wanted = Math.max(1, max) / MOST_TICKS;
  const unit = 1024 ** Math.floor(Math.log2(wanted) / 10);
  const round =
    [1, 2, 5, 10, 20, 50, 100, 200, 256, 512, 1024].find((step) => step * unit >= wanted) ?? 1024;
  return round * unit;
}
