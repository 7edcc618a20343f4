import { formatNumber, t } from './l10n';

const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1536 -> 1.5 KiB */
export function formatBytes(bytes: number): string {
  const power =
    bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), BINARY_UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${formatNumber(value, { maximumFractionDigits: power < 2 || value >= 100 ? 0 : 1 })} ${BINARY_UNITS[power]}`;
}

/** 134515008 -> 134.5 M */
export function formatCount(count: number): string {
  if (count < 1e4) return formatNumber(count);
  const [divisor, unit] = count < 1e6 ? [1e3, 'k'] : count < 1e9 ? [1e6, 'M'] : [1e9, 'B'];
  return `${formatNumber(count / divisor, { maximumFractionDigits: count / divisor < 100 ? 1 : 0 })} ${unit}`;
}

export const formatLoss = (loss: number): string =>
  formatNumber(loss, { minimumFractionDigits: 3, maximumFractionDigits: 3 });

const AGES: readonly (readonly [limit: number, unit: number, text: (n: number) => string])[] = [
  [60, 1, () => t('now')],
  [3600, 60, (n) => t('{0} min ago', n)],
  [86_400, 3600, (n) => t('{0} h ago', n)],
  [Infinity, 86_400, (n) => (n === 1 ? t('yesterday') : t('{0} days ago', n))],
];

/** How long ago, in the largest whole unit. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds / 1000);
  const [, unit, text] = AGES.find(([limit]) => seconds < limit)!;
  return text(Math.floor(seconds / unit));
}

/** 3723 -> 1 h 2 min */
export function formatDuration(seconds: number): string {
  if (seconds < 60) return t('{0} s', Math.ceil(seconds));
  const minutes = Math.round(seconds / 60);
  return minutes < 60
    ? t('{0} min', minutes)
    : t('{0} h {1} min', Math.floor(minutes / 60), minutes % 60);
}
