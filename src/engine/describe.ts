/** "4", or "2 to 8". */
export function describeRange(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? String(least) : `${least} to ${most}`;
}

/** 0.1234 -> "12.34%" */
export const percentage = (share: number, digits = 2): string =>
  `${(100 * share).toFixed(digits)}%`;

/** Says that training has not lowered the validation loss, which was `before` for the base. */
export const describeWorse = (before: number): string =>
  `The validation loss was lower before the training (${before.toFixed(4)} at step 0): on the validation rows, the result is worse than the base.`;

/** 1234567 -> "1,234,567" */
export const groupDigits = (count: number): string => count.toLocaleString('en-US');

/** 75 -> 1:15; 3675 -> 1:01:15 */
export function formatClock(seconds: number): string {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const padded = (value: number) => String(value).padStart(2, '0');
  return h > 0 ? `${h}:${padded(m)}:${padded(s)}` : `${m}:${padded(s)}`;
}
