import { valueError } from './faults';
import { exponentialText, fixedText, floatText } from './numbers';

/** One field of printf or of str.format. */
export interface NumberFormat {
  readonly type: string;
  readonly precision: number | undefined;
  /** Keeps the zeros at the end of g, and prefixes the base of x, o and b. */
  readonly alternate: boolean;
}

/** The digits of a float without its sign, for the types e, f, g, % and none. */
export function floatDigits(value: number, format: NumberFormat): string {
  const magnitude = Math.abs(value);
  const lower = format.type.toLowerCase();
  const text = Number.isFinite(magnitude)
    ? finiteDigits(magnitude, lower, format)
    : floatText(magnitude) + (lower === '%' ? '%' : '');
  return format.type === lower ? text : text.toUpperCase();
}

function finiteDigits(value: number, type: string, { precision, alternate }: NumberFormat): string {
  const places = Math.min(precision ?? 6, 1000);
  const point = alternate && places === 0 ? '.' : '';
  switch (type) {
    case 'f':
      return fixedText(value, places) + point;
    case '%':
      return `${fixedText(value * 100, places)}${point}%`;
    case 'e':
      return exponentialText(value, places);
    case 'g':
    case 'n':
      return generalText(value, places === 0 ? 1 : places, alternate);
    case '':
      return precision === undefined ? floatText(value) : withPoint(value, precision);
    default:
      throw valueError(`Unknown format code '${type}' for object of type 'float'`);
  }
}

/** As g, but never without a digit after the point. */
function withPoint(value: number, precision: number): string {
  const digits = Math.max(1, precision);
  const { exponent } = rounded(value, digits);
  if (exponent < -4 || exponent >= digits - 1) {
    const general = generalText(value, digits, false);
    return exponent === digits - 1 && !general.includes('e')
      ? stripZeros(exponentialText(value, digits - 1))
      : general;
  }
  const general = generalText(value, digits, false);
  return /[.e]/.test(general) ? general : `${general}.0`;
}

function generalText(value: number, digits: number, keepZeros: boolean): string {
  const { exponent, text } = rounded(value, digits);
  if (exponent < -4 || exponent >= digits) return keepZeros ? text : stripZeros(text);
  const fixed = fixedText(value, digits - 1 - exponent);
  return keepZeros ? fixed : stripZeros(fixed);
}

function rounded(value: number, digits: number): { exponent: number; text: string } {
  const text = exponentialText(value, digits - 1);
  return { text, exponent: Number(text.split('e')[1]) };
}

function stripZeros(text: string): string {
  const [digits, exponent] = text.split('e') as [string, string?];
  const short = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
  return exponent === undefined ? short : `${short}e${exponent}`;
}

const BASES: Readonly<Record<string, number>> = {
  d: 10,
  i: 10,
  u: 10,
  n: 10,
  '': 10,
  x: 16,
  o: 8,
  b: 2,
};

/** The digits of an integer without its sign. */
export function integerDigits(value: bigint, type: string): string {
  const base = BASES[type.toLowerCase()];
  if (base === undefined)
    throw valueError(`Unknown format code '${type}' for object of type 'int'`);
  const digits = (value < 0n ? -value : value).toString(base);
  return type === 'X' ? digits.toUpperCase() : digits;
}

export function basePrefix(type: string): string {
  return ['x', 'X', 'o', 'b'].includes(type) ? `0${type}` : '';
}
