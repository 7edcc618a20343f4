/** The characters that are white space to Python, as the inside of a character class. */
export const SPACE =
  '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** The characters that end a line for splitlines(), as the inside of a character class. */
export const LINE_BREAKS = '\\n-\\r\\x1c-\\x1e\\x85\\u2028\\u2029';

const IS_SPACE = new RegExp(`[${SPACE}]`);

export function isSpace(char: string): boolean {
  return IS_SPACE.test(char);
}

export function lstripSpace(text: string): string {
  let start = 0;
  while (start < text.length && isSpace(text[start]!)) start++;
  return text.slice(start);
}

export function rstripSpace(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1]!)) end--;
  return text.slice(0, end);
}
