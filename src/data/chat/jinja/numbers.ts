import { Float, isInteger, type Value } from './values';

/** A number as Python sees it: bools are integers. Undefined for other types. */
export function numberOf(value: Value): number | bigint | Float | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return isInteger(value) || value instanceof Float ? value : undefined;
}

/** An integer that counts or indexes; undefined for other types. */
export function indexOf(value: Value | undefined): number | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'number') return value;
  if (typeof value !== 'bigint') return undefined;
  return value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER;
}

/** A float as Python prints it: the shortest digits, an exponent from 1e16 and below 1e-4. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude >= 1e16 || magnitude < 1e-4)) {
    const [digits, exponent] = value.toExponential().split('e') as [string, string];
    return `${digits}e${exponentText(exponent)}`;
  }
  const text = String(value);
  return text.includes('.') ? text : `${text}.0`;
}

/** A sign and at least two digits. */
export function exponentText(exponent: string): string {
  const sign = exponent.startsWith('-') ? '-' : '+';
  return sign + exponent.replace(/^[-+]/, '').padStart(2, '0');
}

/**
 * The exact decimal digits of a float after rounding to `precision` places, ties to even, as
 * printf writes them. The sign is that of the value.
 */
export function fixedText(value: number, precision: number): string {
  const { sign, mantissa, exponent } = partsOf(value);
  const scaled = mantissa * 10n ** BigInt(precision);
  const rounded = exponent >= 0 ? scaled << BigInt(exponent) : roundShift(scaled, -exponent);
  const digits = rounded.toString().padStart(precision + 1, '0');
  const whole = digits.slice(0, digits.length - precision);
  return `${sign}${whole}${precision > 0 ? `.${digits.slice(digits.length - precision)}` : ''}`;
}

/** Scientific notation with `precision` places, rounded exactly, ties to even. */
export function exponentialText(value: number, precision: number): string {
  if (value === 0) {
    const zeros = precision > 0 ? `.${'0'.repeat(precision)}` : '';
    return `${Object.is(value, -0) ? '-' : ''}0${zeros}e+00`;
  }
  const { sign, mantissa, exponent } = partsOf(value);
  let power = Number(value.toExponential().split('e')[1]);
  let digits = digitsAt(mantissa, exponent, precision - power);
  if (digits.length > precision + 1) {
    power++;
    digits = digitsAt(mantissa, exponent, precision - power);
  }
  const rest = precision > 0 ? `.${digits.slice(1)}` : '';
  return `${sign}${digits[0]}${rest}e${exponentText(String(power))}`;
}

function partsOf(value: number): { sign: string; mantissa: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const sign = bits >> 63n === 1n ? '-' : '';
  const biased = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  if (biased === 0) return { sign, mantissa: fraction, exponent: -1074 };
  return { sign, mantissa: fraction | (1n << 52n), exponent: biased - 1075 };
}

/** mantissa · 2^exponent · 10^places as an integer, ties to even. */
function digitsAt(mantissa: bigint, exponent: number, places: number): string {
  let numerator = mantissa;
  let denominator = 1n;
  if (exponent >= 0) numerator <<= BigInt(exponent);
  else denominator <<= BigInt(-exponent);
  if (places >= 0) numerator *= 10n ** BigInt(places);
  else denominator *= 10n ** BigInt(-places);
  return roundDivide(numerator, denominator).toString();
}

function roundShift(value: bigint, shift: number): bigint {
  return roundDivide(value, 1n << BigInt(shift));
}

function roundDivide(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = 2n * (numerator % denominator);
  if (twice > denominator || (twice === denominator && quotient % 2n === 1n)) return quotient + 1n;
  return quotient;
}
