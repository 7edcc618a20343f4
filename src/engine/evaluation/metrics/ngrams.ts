/** How often each sequence of `length` items occurs. */
export function ngramCounts(items: readonly string[], length: number): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + length <= items.length; i++) {
    const key = items.slice(i, i + length).join('\u0000');
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** How many items of one bag are also in the other. */
export function commonCount(
  a: ReadonlyMap<string, number>,
  b: ReadonlyMap<string, number>,
): number {
  let common = 0;
  for (const [key, count] of a) common += Math.min(count, b.get(key) ?? 0);
  return common;
}
