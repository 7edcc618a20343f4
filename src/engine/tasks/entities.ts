/** A stretch of words with one meaning: its type, first and last word. */
const key = (type: string, start: number, end: number) => `${type} ${start} ${end}`;

/** Whether tags are in a scheme such as B-PER, I-PER, O. */
export const isEntityScheme = (names: readonly string[]): boolean =>
  names.includes('O') &&
  names.every((name) => name === 'O' || /^[BI]-./.test(name)) &&
  names.some((name) => name.startsWith('B-'));

/** The entities of a row of tags, as seqeval reads them: an I- of another type begins one, too. */
export function entitiesOf(tags: readonly string[]): Set<string> {
  const found = new Set<string>();
  let open: { readonly type: string; readonly start: number } | null = null;
  for (let i = 0; i <= tags.length; i++) {
    const tag = tags[i] ?? 'O';
    const type = tag.slice(2);
    if (open && (tag === 'O' || tag.startsWith('B-') || type !== open.type)) {
      found.add(key(open.type, open.start, i - 1));
      open = null;
    }
    if (tag !== 'O' && !open) open = { type, start: i };
  }
  return found;
}
