import { createScanner, parseTree } from 'jsonc-parser';
import type { Misspelling } from '../../shared/misspelling';

/** jsonc-parser's SyntaxKind: a const enum, so the names do not exist at run time. */
const CLOSING: ReadonlySet<number> = new Set([2, 4]);
const COMMA = 5;
const END = 17;

/** A row of JSON without the commas after the last value; null where they are not its problem. */
export function withoutTrailingCommas(row: string): string | null {
  if (isJson(row)) return null;
  const scanner = createScanner(row, true);
  let repaired = '';
  let copied = 0;
  let comma: number | null = null;
  for (let kind: number = scanner.scan(); kind !== END; kind = scanner.scan()) {
    if (CLOSING.has(kind) && comma !== null) {
      repaired += row.slice(copied, comma);
      copied = comma + 1;
    }
    comma = kind === COMMA ? scanner.getTokenOffset() : null;
  }
  // a row of an array of JSON ends with a comma
  if (comma !== null) {
    repaired += row.slice(copied, comma);
    copied = comma + 1;
  }
  repaired += row.slice(copied);
  return isJson(repaired) ? repaired : null;
}

/**
 * A row with a misspelled key corrected; null where the key is not in it, or the correct one is,
 * too.
 */
export function withKeyRenamed(row: string, { key, meant }: Misspelling): string | null {
  if (!isJson(row)) return null;
  const names = (parseTree(row)?.children ?? []).flatMap(({ children }) => children?.[0] ?? []);
  const named = names.find(({ value }) => value === key);
  if (!named || names.some(({ value }) => value === meant)) return null;
  const { offset, length } = named;
  return `${row.slice(0, offset)}${JSON.stringify(meant)}${row.slice(offset + length)}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
