import { integer } from './values';

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz';
const PREFIXES: Readonly<Record<number, string>> = { 2: '0b', 8: '0o', 16: '0x' };

/** Python's int(text, base); undefined where the text is no integer. */
export function parseInteger(text: string, base: number): number | bigint | undefined {
  const match = /^\s*([-+]?)(\w+)\s*$/.exec(text);
  if (!match || match[2]!.length > 4300) return undefined;
  const [, sign, body] = match as unknown as [string, string, string];
  const radix = base === 0 ? baseOf(body) : base;
  const prefix = PREFIXES[radix];
  const lower = body.toLowerCase();
  const digits = prefix !== undefined && lower.startsWith(prefix) ? lower.slice(2) : lower;
  if (base === 0 && radix === 10 && /^0+[1-9]/.test(digits)) return undefined;
  const plain = digits.replace(/(?<=.)_(?=.)/g, (_, at: number) =>
    digits[at - 1] === '_' ? '_' : '',
  );
  const values = Array.from(plain, (digit) => DIGITS.indexOf(digit));
  if (plain === '' || values.some((value) => value < 0 || value >= radix)) return undefined;
  const value = values.reduce((sum, digit) => sum * BigInt(radix) + BigInt(digit), 0n);
  return integer(sign === '-' ? -value : value);
}

function baseOf(body: string): number {
  const [base] = Object.entries(PREFIXES).find(([, prefix]) =>
    body.toLowerCase().startsWith(prefix),
  ) ?? [10];
  return Number(base);
}

const FLOAT =
  /^\s*[-+]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[-+]?\d+(?:_\d+)*)?\s*$/i;
const SPECIAL = /^\s*([-+]?)(inf|infinity|nan)\s*$/i;

/** Python's float(text); undefined where the text is no number. */
export function parseFloatText(text: string): number | undefined {
  const special = SPECIAL.exec(text);
  if (special) {
    const value = special[2]!.toLowerCase() === 'nan' ? NaN : Infinity;
    return special[1] === '-' ? -value : value;
  }
  return FLOAT.test(text) ? Number(text.replaceAll('_', '')) : undefined;
}
