import { CHART_COLORS } from '../../shared/colors';
import type { Quantity } from '../../../src/shared/pages/overlay/protocol';
import type { Formatter } from '../../shared/format';
import { byteTickStep, type Curves, type SeriesSpec } from '../../shared/charts/spec';

const DASHES: readonly (readonly number[])[] = [[], [6, 4], [2, 3], [10, 3, 2, 3]];

/**
 * Runs differ in colour, then in dashes: sixteen can be told apart, and every one by the cursor and
 * the table.
 */
export const lookOf = (index: number): Pick<SeriesSpec<string>, 'color' | 'dash'> => ({
  color: CHART_COLORS[index % CHART_COLORS.length]!,
  dash: DASHES[Math.floor(index / CHART_COLORS.length) % DASHES.length]!,
});

const FORMATS: Readonly<Record<Quantity, (format: Formatter, value: number) => string>> = {
  validation: (f, value) => f.value(value),
  smoothed: (f, value) => f.value(value),
  loss: (f, value) => f.value(value),
  learning_rate: (f, value) => f.rate(value),
  grad_norm: (f, value) => f.value(value),
  tokens_per_second: (f, value) => f.speed(value),
  memory: (f, value) => f.bytes(value),
};

export const isLoss = (quantity: Quantity): boolean =>
  quantity === 'validation' || quantity === 'smoothed' || quantity === 'loss';

/** The chart of one quantity for runs at their places in the list. */
export function curvesOf(
  quantity: Quantity,
  dirs: readonly (readonly [dir: string, index: number])[],
): Curves<string> {
  return {
    fromZero: !isLoss(quantity),
    format: FORMATS[quantity],
    ...(quantity === 'memory' && { tickStep: byteTickStep }),
    series: dirs.map(([id, index]) => ({
      id,
      ...lookOf(index),
      width: 2,
      points: quantity === 'validation',
      alpha: 1,
    })),
  };
}
