import { TemplateSyntaxFault } from './faults';

const SIMPLE: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const ESCAPE = /\\(?:[0-7]{1,3}|[xuU][0-9a-fA-F]*|[\s\S])/gu;

/**
 * Resolves the escapes of a string literal as Python's unicode-escape codec does. Unknown escapes
 * keep their backslash.
 *
 * @throws TemplateSyntaxFault for an incomplete escape.
 */
export function unescapeString(text: string, line: number): string {
  return text.replace(ESCAPE, (escape) => {
    const kind = escape[1]!;
    if (/[0-7]/.test(kind)) return String.fromCodePoint(parseInt(escape.slice(1), 8));
    if (HEX_DIGITS[kind] !== undefined) return fromHex(kind, escape.slice(2), line);
    if (kind === 'N')
      throw new TemplateSyntaxFault('\\N{…} in a string is not supported; use \\u', line);
    return SIMPLE[kind] ?? `\\${beforeAscii(escape.slice(1))}`;
  });
}

function fromHex(kind: string, digits: string, line: number): string {
  const length = HEX_DIGITS[kind]!;
  const code = parseInt(digits.slice(0, length), 16);
  if (digits.length < length || code > 0x10ffff)
    throw new TemplateSyntaxFault(`truncated or illegal \\${kind} escape in a string`, line);
  return String.fromCodePoint(code) + digits.slice(length);
}

/**
 * Jinja writes characters beyond ASCII as escapes before it resolves escapes, so that a backslash
 * before one of them escapes only the backslash of that escape.
 */
function beforeAscii(char: string): string {
  const code = char.codePointAt(0)!;
  if (code < 0x80) return char;
  if (code < 0x100) return `x${code.toString(16).padStart(2, '0')}`;
  if (code < 0x10000) return `u${code.toString(16).padStart(4, '0')}`;
  return `U${code.toString(16).padStart(8, '0')}`;
}
