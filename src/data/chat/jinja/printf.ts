import { TemplateFault, typeError, valueError } from './faults';
import { basePrefix, floatDigits, integerDigits } from './formatNumber';
import { numberOf } from './numbers';
import type { Runtime } from './runtime';
import { reprOf, reprOfString, textOf } from './text';
import {
  Dict,
  Float,
  isList,
  lengthOfText,
  stringOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values';

const FIELD = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([\s\S])?/gu;

/** Python's `text % values`. */
export function printf(rt: Runtime, text: string, values: Value): string {
  const queue = new ValueQueue(values);
  const fields = Array.from(text.matchAll(FIELD), (match) => ({
    start: match.index,
    end: match.index + match[0].length,
    parts: match.slice(1),
  }));
  let result = '';
  let written = 0;
  for (const { start, end, parts } of fields) {
    result += text.slice(written, start) + convert(rt, queue, parts);
    written = end;
  }
  queue.close();
  rt.allocate(result.length + text.length - written);
  return result + text.slice(written);
}

/** @param parts Name, flags, width, precision and type of a field. */
function convert(rt: Runtime, queue: ValueQueue, parts: readonly (string | undefined)[]): string {
  const [name, flags = '', wide, precise, type] = parts;
  if (type === undefined) throw valueError('incomplete format');
  if (type === '%') return '%';
  const width = queue.number(wide) ?? 0;
  const precision = queue.number(precise);
  const value = name === undefined ? queue.next() : queue.named(name);
  rt.allocate(Math.max(Math.abs(width), Math.min(precision ?? 0, 1000)));
  const given = width < 0 ? `${flags}-` : flags;
  return formatField(rt, value, { flags: given, width: Math.abs(width), precision, type });
}

/** The values after the operator: one after the other, or by name. */
class ValueQueue {
  private readonly items: readonly Value[];
  private used = 0;

  constructor(private readonly values: Value) {
    this.items = values instanceof Tuple ? values.items : [values];
  }

  next(): Value {
    const value = this.items[this.used++];
    if (value === undefined) throw typeError('not enough arguments for format string');
    return value;
  }

  /** A width or precision: a number, or * for the next value. */
  number(field: string | undefined): number | undefined {
    if (field !== '*') return field === undefined ? undefined : Number(field);
    const value = this.next();
    if (typeof value !== 'number') throw typeError('* wants int');
    return value;
  }

  named(name: string): Value {
    if (!(this.values instanceof Dict)) throw typeError('format requires a mapping');
    const value = this.values.get(name);
    if (value === undefined) throw new TemplateFault('KeyError', reprOfString(name));
    return value;
  }

  /** @throws TemplateFault where values are left over. */
  close(): void {
    const { values } = this;
    const hasItems = isList(values) || values instanceof Dict || values instanceof Undefined;
    if (this.used < this.items.length && !hasItems)
      throw typeError('not all arguments converted during string formatting');
  }
}

interface Field {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
  readonly type: string;
}

function formatField(rt: Runtime, value: Value, field: Field): string {
  const { type, precision } = field;
  if (type === 's' || type === 'r' || type === 'a') {
    const text = type === 's' ? textOf(rt, value) : reprOf(rt, value);
    return pad(Array.from(text).slice(0, precision).join(''), '', {
      ...field,
      flags: field.flags.replaceAll('0', ''),
    });
  }
  if (type === 'c') return pad(character(value), '', field);
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (number === undefined)
    throw typeError(`%${type} format: a real number is required, not ${typeName(value)}`);
  const plain = number instanceof Float ? number.value : number;
  const negative = plain < 0 || Object.is(plain, -0);
  return pad(digitsOf(plain, field), signOf(negative, field.flags), field);
}

function digitsOf(value: number | bigint, { type, precision, flags }: Field): string {
  if ('diuxXo'.includes(type)) {
    if ('xXo'.includes(type) && !Number.isInteger(Number(value)))
      throw typeError(`%${type} format: an integer is required, not float`);
    const digits = integerDigits(
      BigInt(typeof value === 'number' ? Math.trunc(value) : value),
      type,
    );
    const prefix = flags.includes('#') ? basePrefix(type) : '';
    return prefix + digits.padStart(Math.min(precision ?? 0, 1000), '0');
  }
  if (!'eEfFgG'.includes(type)) throw valueError(`unsupported format character '${type}'`);
  return floatDigits(Number(value), { type, precision, alternate: flags.includes('#') });
}

function signOf(negative: boolean, flags: string): string {
  if (negative) return '-';
  if (flags.includes('+')) return '+';
  return flags.includes(' ') ? ' ' : '';
}

function character(value: Value): string {
  const text = stringOf(value);
  if (text !== undefined && lengthOfText(text) === 1) return text;
  if (typeof value === 'number' && value >= 0 && value <= 0x10ffff)
    return String.fromCodePoint(value);
  throw typeError('%c requires int or char');
}

function pad(text: string, sign: string, { flags, width }: Field): string {
  const missing = Math.max(0, width - lengthOfText(text) - sign.length);
  if (flags.includes('-')) return sign + text + ' '.repeat(missing);
  if (!flags.includes('0')) return ' '.repeat(missing) + sign + text;
  const prefix = /^0[xXo]/.exec(text)?.[0] ?? '';
  return sign + prefix + '0'.repeat(missing) + text.slice(prefix.length);
}
