import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import type { Formatter } from '../format';

/** A place on the x axis: a step, tokens so far, or seconds so far. */
export const axisValue = (format: Formatter, axis: Axis, x: number): string =>
  axis === 'time' ? format.duration(x) : format.count(x);

/** The same in little space, below a tick. Steps and tokens are integers. */
export function axisTick(format: Formatter, axis: Axis, x: number): string {
  if (axis === 'time') return format.duration(x);
  if (!Number.isInteger(x)) return '';
  return axis === 'tokens' ? format.compact(x) : format.count(x);
}
