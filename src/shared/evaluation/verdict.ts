import type { Interval, Verdict } from './result';

/** A difference, and in how many rows the columns differ. */
interface Compared {
  readonly interval: Interval | null;
  readonly wins: number;
  readonly losses: number;
  /** All rows have the same score. */
  readonly isSame: boolean;
}

/**
 * Bootstrap intervals of few rows are too narrow. Below 6 rows that differ, not even a sign test
 * finds a difference at the level of 5%: 2 · 0.5^5 = 0.0625.
 */
const LEAST_DIFFERING = 6;

/**
 * What a difference from the first column says. The page translates the verdict; `verdictWords` is
 * for the command line and reports.
 *
 * @param lower A lower value is better.
 */
export function verdictOf({ interval, wins, losses, isSame }: Compared, lower: boolean): Verdict {
  if (isSame) return 'equal';
  const excludesZero = interval !== null && (interval.low > 0 || interval.high < 0);
  if (!excludesZero || wins + losses < LEAST_DIFFERING) return 'unclear';
  return interval.low > 0 === lower ? 'worse' : 'better';
}

const WORDS: Readonly<Record<Verdict, string>> = {
  better: 'better',
  worse: 'worse',
  equal: 'the same in every row',
  unclear: 'not enough rows to tell',
};

export const verdictWords = (verdict: Verdict): string => WORDS[verdict];
