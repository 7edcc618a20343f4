import { parseExactly } from '../../../shared/exactJson';

/** A JSON value in a text, and where it ends. */
export interface FoundJson {
  readonly value: unknown;
  /** The offset after it. */
  readonly end: number;
}

/** The object, list or text that begins at an offset, after white space. Null: none does. */
export function jsonAt(text: string, offset: number): FoundJson | null {
  const start = offset + text.slice(offset).search(/\S|$/);
  const end = closingBracket(text, start);
  if (end === null) return null;
  try {
    return { value: parseExactly(text.slice(start, end)), end };
  } catch {
    return null;
  }
}

/** After what closes the bracket or quote at an offset. Null: there is none, or it stays open. */
function closingBracket(text: string, start: number): number | null {
  if (!'{["'.includes(text[start] ?? ' ')) return null;
  let depth = 0;
  let isQuoted = false;
  for (let i = start; i < text.length; i++) {
    const character = text[i]!;
    if (isQuoted && character === '\\') i++;
    else if (character === '"') isQuoted = !isQuoted;
    else if (!isQuoted && (character === '{' || character === '[')) depth++;
    else if (!isQuoted && (character === '}' || character === ']')) depth--;
    if (depth === 0 && !isQuoted) return i + 1;
  }
  return null;
}
