import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import type { Formatter } from '../format';

/** A place on the x axis. */
export const xText = (format: Formatter, axis: Axis, x: number): string =>
  axis === 'time' ? format.duration(x) : format.count(x);

/** The same where there is little room: below a tick. Steps and tokens are whole. */
export function tickText(format: Formatter, axis: Axis, x: number): string {
  if (axis === 'time') return format.duration(x);
  if (!Number.isInteger(x)) return '';
  return axis === 'tokens' ? format.compact(x) : format.count(x);
}
