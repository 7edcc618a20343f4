import { createRandom } from '../random';
import type { Interval } from './result';

/** How intervals are computed. */
export interface BootstrapSettings {
  /** Such as 0.95. */
  readonly confidence: number;
  readonly resamples: number;
  readonly seed: number;
}

/** The intervals of evaluations. */
export const BOOTSTRAP: BootstrapSettings = { confidence: 0.95, resamples: 1000, seed: 0 };

/**
 * Percentile bootstrap (Efron and Tibshirani 1993, chapter 13): the quantiles of a statistic over
 * samples of `count` rows with replacement. A paired difference is a statistic of rows that have
 * both values (Koehn 2004): both are resampled together. Null with fewer than two rows.
 *
 * @param statistic Of the rows with these indices; a value that is not finite is left out.
 */
export function bootstrapInterval(
  count: number,
  statistic: (indices: Int32Array) => number,
  { confidence, resamples, seed }: BootstrapSettings = BOOTSTRAP,
): Interval | null {
  if (count < 2) return null;
  const random = createRandom(seed, 'bootstrap', count);
  const indices = new Int32Array(count);
  const values: number[] = [];
  for (let i = 0; i < resamples; i++) {
    for (let at = 0; at < count; at++) indices[at] = Math.floor(random() * count);
    const value = statistic(indices);
    if (Number.isFinite(value)) values.push(value);
  }
  if (values.length === 0) return null;
  values.sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return { low: quantile(values, tail), high: quantile(values, 1 - tail) };
}

/** Linear interpolation, as NumPy's default. */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (at - below);
}
