import type { ChartColor } from '../colors';
import type { Formatter } from '../format';

/** How a line looks. Lines of one chart differ in width, dashes or points, not in colour alone. */
export interface SeriesSpec<Id extends string> {
  readonly id: Id;
  readonly color: ChartColor;
  readonly width: number;
  readonly dash: readonly number[];
  readonly points: boolean;
  /** Below 1 for the line that others lie on. */
  readonly alpha: number;
}

/** The lines of a chart, and its value axis. */
export interface Curves<Id extends string> {
  readonly fromZero: boolean;
  readonly series: readonly SeriesSpec<Id>[];
  readonly format: (formatter: Formatter, value: number) => string;
  /** No value is above it. */
  readonly most?: number;
  /**
   * Distance of the value axis' ticks for a highest value, where round decimal numbers are not
   * round as they are shown.
   */
  readonly tickStep?: (max: number) => number;
}

const MOST_TICKS = 5;

/**
 * The least 1, 2, 5, 10, 20… of the largest unit (powers of 1024) that needs no more than
 * MOST_TICKS ticks.
 */
export function byteTickStep(max: number): number {
  const wanted = Math.max(1, max) / MOST_TICKS;
  const unit = 1024 ** Math.floor(Math.log2(wanted) / 10);
  const round =
    [1, 2, 5, 10, 20, 50, 100, 200, 256, 512, 1024].find((step) => step * unit >= wanted) ?? 1024;
  return round * unit;
}
