import { fullMatch, type PathTest } from './targets';

type Pattern = Readonly<Record<string, number>>;
type PatternKey = 'rank_pattern' | 'alpha_pattern';
type Entry = readonly [isMatch: PathTest, value: number];

/** The compiled keys of each pattern, which is asked for every module. */
const compiled = new WeakMap<Pattern, readonly Entry[]>();

/**
 * A module's value in rank_pattern or alpha_pattern, or `missing`. The keys are regular expressions
 * that must match the end of its path, `(.*\.)?(key)$` (PEFT's get_pattern_key); the first counts.
 *
 * @param key The setting that holds the pattern, for the message.
 * @throws LoraError('recipe') for a key that is no regular expression.
 */
export function patternValue(
  pattern: Pattern,
  path: string,
  missing: number,
  key: PatternKey,
): number {
  return entriesOf(pattern, key).find(([isMatch]) => isMatch(path))?.[1] ?? missing;
}

/**
 * The keys of a pattern that match none of the paths.
 *
 * @throws LoraError('recipe') for a key that is no regular expression.
 */
export function unmatchedKeys(
  pattern: Pattern,
  paths: readonly string[],
  key: PatternKey,
): readonly string[] {
  const keys = Object.keys(pattern);
  return entriesOf(pattern, key).flatMap(([isMatch], i) => (paths.some(isMatch) ? [] : [keys[i]!]));
}

function entriesOf(pattern: Pattern, key: PatternKey): readonly Entry[] {
  const known = compiled.get(pattern);
  if (known) return known;
  const entries = Object.entries(pattern).map(([expression, value]): Entry => [
    fullMatch(`(?s)(.*\\.)?(${expression})`, key, expression),
    value,
  ]);
  compiled.set(pattern, entries);
  return entries;
}
