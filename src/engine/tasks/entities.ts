/** Identifies an entity within its row: type, first and last word. */
const entityKey = (type: string, start: number, end: number) => `${type} ${start} ${end}`;

/** Whether the tags follow the BIO scheme: B-PER, I-PER, O. */
export const isEntityScheme = (names: readonly string[]): boolean =>
  names.includes('O') &&
  names.every((name) => name === 'O' || /^[BI]-./.test(name)) &&
  names.some((name) => name.startsWith('B-'));

/** The entities of a row of tags, as seqeval finds them: an I- tag of a new type starts one too. */
export function entitiesOf(tags: readonly string[]): Set<string> {
  const found = new Set<string>();
  let open: { readonly type: string; readonly start: number } | null = null;
  for (let i = 0; i <= tags.length; i++) {
    const tag = tags[i] ?? 'O';
    const type = tag.slice(2);
    if (open && (tag === 'O' || tag.startsWith('B-') || type !== open.type)) {
      found.add(entityKey(open.type, open.start, i - 1));
      open = null;
    }
    if (tag !== 'O' && !open) open = { type, start: i };
  }
  return found;
}
