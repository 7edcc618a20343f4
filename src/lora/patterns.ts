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

/** A module with its rank or lora_alpha. */
export type PatternEntry = readonly [path: string, value: number];

/**
 * The pattern with which PEFT gives each of these modules exactly its value: an entry for each one
 * whose value is not the usual one. A path that is also the end of another module's is anchored.
 */
export function exactPattern(entries: readonly PatternEntry[], usual: number): Pattern {
  const ends = new Set(entries.flatMap(([path]) => endsOf(path)));
  return Object.fromEntries(
    entries
      .filter(([, value]) => value !== usual)
      .map(([path, value]) => [`${ends.has(path) ? '^' : ''}${escaped(path)}`, value]),
  );
}

/** "a.b.c" -> "b.c", "c" */
const endsOf = (path: string): string[] => {
  const parts = path.split('.');
  return parts.slice(1).map((_, i) => parts.slice(i + 1).join('.'));
};

/** A regular expression of JavaScript, RE2 and Python that matches only this text. */
const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

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
