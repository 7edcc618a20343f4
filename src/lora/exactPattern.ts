/** A module with its rank or lora_alpha. */
export type PatternEntry = readonly [path: string, value: number];

/**
 * The pattern that makes PEFT give each of these modules exactly its value: an entry for each one
 * whose value is not the usual one. A path that is also the end of another module's is anchored.
 */
export function exactPattern(
  entries: readonly PatternEntry[],
  usual: number,
): Readonly<Record<string, number>> {
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
