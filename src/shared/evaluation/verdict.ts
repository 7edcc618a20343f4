import type { Interval, Verdict } from './result';

/**
 * What a difference from the first column says. The page translates the verdict; `verdictWords` is
 * for the command line and reports.
 */
export function verdictOf(
  { interval, isSame }: { readonly interval: Interval | null; readonly isSame: boolean },
  lower: boolean,
): Verdict {
  if (isSame) return 'equal';
  if (!interval || (interval.low <= 0 && interval.high >= 0)) return 'unclear';
  return interval.low > 0 === lower ? 'worse' : 'better';
}

const WORDS: Readonly<Record<Verdict, string>> = {
  better: 'better',
  worse: 'worse',
  equal: 'the same in every row',
  unclear: 'not enough rows to tell',
};

export const verdictWords = (verdict: Verdict): string => WORDS[verdict];
