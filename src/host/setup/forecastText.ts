import { formatDuration } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import type { Forecast } from './forecast';

/** "3 epochs, 114 steps, about 1 min". */
export function forecastText({ epochs, steps, seconds }: Forecast): string {
  return [
    t('{0} {0|epoch|epochs}', formatNumber(epochs, { maximumFractionDigits: 1 })),
    t('{0} {0|step|steps}', formatNumber(steps)),
    ...(seconds === null ? [] : [t('about {0}', formatDuration(rounded(seconds)))]),
  ].join(', ');
}

/** An estimate has no use for single seconds. */
const rounded = (seconds: number): number => Math.max(10, 10 * Math.round(seconds / 10));
