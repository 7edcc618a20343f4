import {
  EVALUATION_METRICS,
  type EvaluationMetricId,
} from '../../../src/shared/evaluation/metrics';
import type { Difference, Interval } from '../../../src/shared/evaluation/result';
import type { EvaluationStringKey } from '../../../src/shared/pages/evaluation/strings';
import type { Page } from '../../shared/page';

type Words = Pick<Page<unknown, unknown, EvaluationStringKey>, 'format' | 't'>;

/** Whether a number is a share of rows, which is written in percent. Null: the total score. */
const isShare = (metric: EvaluationMetricId | null): boolean =>
  metric === null || EVALUATION_METRICS[metric].max === 1;

/** 0.82 as 82%, a perplexity as 12.3. */
export const scoreText = (
  { format }: Pick<Words, 'format'>,
  metric: EvaluationMetricId | null,
  value: number,
): string => (isShare(metric) ? format.percent(value) : format.digits(value, 3));

export const intervalText = (
  page: Words,
  metric: EvaluationMetricId | null,
  { low, high }: Interval,
): string => page.t('scores.interval', scoreText(page, metric, low), scoreText(page, metric, high));

/** +12 points (4 to 20); shares differ by points of a hundred. */
export function differenceText(
  page: Words,
  metric: EvaluationMetricId | null,
  { difference, interval }: Difference,
): string {
  const { t, format } = page;
  const signed = (value: number) => {
    const amount = isShare(metric)
      ? format.digits(Math.abs(100 * value), 2)
      : format.digits(Math.abs(value), 3);
    const sign = value < 0 ? '−' : '+';
    return value === 0 ? amount : `${sign}${amount}`;
  };
  const middle = isShare(metric) ? t('scores.points', signed(difference)) : signed(difference);
  return interval
    ? t('scores.difference', middle, signed(interval.low), signed(interval.high))
    : middle;
}
