import { formatTime, formatNumber, t } from './l10n';

const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Formats a number of bytes in binary units: 1536 as 1.5 KiB. */
export function formatBytes(bytes: number): string {
  const power =
    bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), BINARY_UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${formatNumber(value, { maximumFractionDigits: power < 2 || value >= 100 ? 0 : 1 })} ${BINARY_UNITS[power]}`;
}

const COUNT_UNITS: readonly (readonly [divisor: number, unit: string, limit: number])[] = [
  [1e3, 'k', 1e6],
  [1e6, 'M', 1e9],
  [1e9, 'B', Infinity],
];

/** Formats a large count: 134515008 as 134.5 M. */
export function formatCount(count: number): string {
  if (count < 1e4) return formatNumber(count);
  const [divisor, unit] = COUNT_UNITS.find(([, , limit]) => count < limit)!;
  return `${formatNumber(count / divisor, { maximumFractionDigits: count / divisor < 100 ? 1 : 0 })} ${unit}`;
}

/** Formats a fraction as a percentage: 0.034 as 3.4%. */
export const formatPercent = (share: number): string =>
  formatNumber(share, { style: 'percent', maximumFractionDigits: 2 });

/** Formats a loss with three decimals. */
export const formatLoss = (loss: number): string =>
  formatNumber(loss, { minimumFractionDigits: 3, maximumFractionDigits: 3 });

const AGES: readonly (readonly [limit: number, unit: number, text: (n: number) => string])[] = [
  [60, 1, () => t('now')],
  [3600, 60, (n) => t('{0} min ago', n)],
  [86_400, 3600, (n) => t('{0} h ago', n)],
  [Infinity, 86_400, (n) => (n === 1 ? t('yesterday') : t('{0} days ago', n))],
];

/** How long ago something was, in the largest whole unit. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds / 1000);
  const [, unit, text] = AGES.find(([limit]) => seconds < limit)!;
  return text(Math.floor(seconds / unit));
}

const DAY_MS = 86_400_000;

/** Formats a moment as 14:02; one of another day with its date. */
export const formatMoment = (moment: number, now: number): string =>
  formatTime(moment, {
    timeStyle: 'short',
    ...(Math.abs(now - moment) >= DAY_MS / 2 && { dateStyle: 'short' }),
  });

/** Formats a duration: 3723 seconds as 1 h 2 min. */
export function formatDuration(seconds: number): string {
  if (seconds < 60) return t('{0} s', Math.ceil(seconds));
  const minutes = Math.round(seconds / 60);
  return minutes < 60
    ? t('{0} min', minutes)
    : t('{0} h {1} min', Math.floor(minutes / 60), minutes % 60);
}
