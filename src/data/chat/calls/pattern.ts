import { escapeRegExp } from '../../../shared/values';

/** Texts that a template writes, with an id of a call between each two. */
export type Pattern = readonly string[];

/** Where a pattern was found; `end` is exclusive. */
export interface Found {
  readonly start: number;
  readonly end: number;
}

/** An id that a template writes between two texts. */
const ID = '[^\\s]{0,100}?';

/** A text of a template as a pattern, with gaps for the ids of calls. */
export function patternOf(text: string, ids: readonly string[]): Pattern {
  const found = ids.find((id) => text.includes(id));
  if (found === undefined) return [text];
  const at = text.indexOf(found);
  return [text.slice(0, at), ...patternOf(text.slice(at + found.length), ids)];
}

/** Whether a pattern is nothing but white space. */
export const isBlank = (pattern: Pattern): boolean => pattern.join('').trim() === '';

/** Where a pattern stands right at an offset, as it is or with other white space. */
export function patternAt(text: string, offset: number, pattern: Pattern): Found | null {
  for (const source of [exactly(pattern), `\\s*${loosely(pattern)}`]) {
    const regExp = new RegExp(source, 'y');
    regExp.lastIndex = offset;
    const match = regExp.exec(text);
    if (match) return { start: offset, end: regExp.lastIndex };
  }
  return null;
}

/** The first place of a pattern from an offset on, as it is or with other white space. */
export function findPattern(text: string, offset: number, pattern: Pattern): Found | null {
  if (isBlank(pattern)) return patternAt(text, offset, pattern);
  const found = [exactly(pattern), loosely(pattern)].flatMap((source) => {
    const regExp = new RegExp(source, 'g');
    regExp.lastIndex = offset;
    const match = regExp.exec(text);
    return match ? [{ start: match.index, end: regExp.lastIndex }] : [];
  });
  const [exact, loose] = found;
  if (!exact || !loose) return exact ?? null;
  return loose.start + spaceAt(text, loose.start) < exact.start + spaceAt(text, exact.start)
    ? loose
    : exact;
}

/** How much white space stands at an offset. */
const spaceAt = (text: string, offset: number): number => text.slice(offset).search(/\S|$/);

const exactly = (pattern: Pattern): string => pattern.map(escapeRegExp).join(ID);

/** Without white space in front, which a search would try again at each of its characters. */
const loosely = (pattern: Pattern): string =>
  `${pattern
    .map((part) => part.trim().split(/\s+/).map(escapeRegExp).join('\\s*'))
    .join(`\\s*${ID}\\s*`)}\\s*`;
