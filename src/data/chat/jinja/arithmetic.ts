import { TemplateFault, typeError } from './faults';
import { numberOf } from './numbers';
import type { BinaryOperator } from './nodes';
import { printf } from './printf';
import type { Runtime } from './runtime';
import { escape } from './escape';
import { textOf } from './text';
import {
  Float,
  integer,
  isList,
  Markup,
  stringOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values';

/** Integers of more bits than this are not computed. */
const MAX_BITS = 100_000;

/** Python's arithmetic operators. */
export function binary(rt: Runtime, operator: BinaryOperator, a: Value, b: Value): Value {
  rt.step();
  const left = stringOf(a);
  if (left !== undefined && operator === '%') return formatted(rt, a, left, b);
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return numeric(operator, x, y);
  const result = operator === '+' ? concatenated(rt, a, b) : repetition(rt, operator, a, b);
  if (result === undefined)
    throw typeError(
      `unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`,
    );
  return result;
}

function formatted(rt: Runtime, a: Value, left: string, b: Value): Value {
  if (!(a instanceof Markup)) return printf(rt, left, b);
  const values =
    b instanceof Tuple
      ? new Tuple(b.items.map((item) => escapedText(rt, item)))
      : escapedText(rt, b);
  return new Markup(printf(rt, left, values));
}

function escapedText(rt: Runtime, value: Value): Value {
  return stringOf(value) === undefined ? value : escape(rt, value).text;
}

function concatenated(rt: Runtime, a: Value, b: Value): Value | undefined {
  const [s, t] = [stringOf(a), stringOf(b)];
  if (s !== undefined && t !== undefined) {
    if (a instanceof Markup || b instanceof Markup)
      return new Markup(checked(rt, escape(rt, a).text + escape(rt, b).text));
    return concat(rt, s, t);
  }
  if (isList(a) && isList(b)) {
    rt.allocateItems(a.length + b.length);
    return [...a, ...b];
  }
  if (!(a instanceof Tuple) || !(b instanceof Tuple)) return undefined;
  rt.allocateItems(a.items.length + b.items.length);
  return new Tuple([...a.items, ...b.items]);
}

/** Appending costs what is appended: JavaScript joins long texts when they are read. */
export function concat(rt: Runtime, a: string, b: string): string {
  rt.allocate(b.length);
  return checked(rt, a + b);
}

function checked(rt: Runtime, text: string): string {
  rt.check(text.length);
  return text;
}

/** The texts of these values, one after the other. */
export function concatAll(rt: Runtime, values: readonly Value[]): string {
  return values.reduce<string>((text, value) => concat(rt, text, textOf(rt, value)), '');
}

function repetition(rt: Runtime, operator: string, a: Value, b: Value): Value | undefined {
  if (operator !== '*') return undefined;
  const [sequence, times] = isCount(b) ? [a, Number(b)] : [b, isCount(a) ? Number(a) : NaN];
  if (Number.isNaN(times)) return undefined;
  const count = Math.max(0, times);
  const text = stringOf(sequence);
  if (text !== undefined) {
    rt.allocate(text.length * count);
    const repeated = text === '' ? '' : text.repeat(count);
    return sequence instanceof Markup ? new Markup(repeated) : repeated;
  }
  const items = sequence instanceof Tuple ? sequence.items : sequence;
  if (!isList(items)) return undefined;
  rt.allocateItems(items.length * count);
  const repeated = items.length === 0 ? [] : Array.from({ length: count }, () => items).flat();
  return sequence instanceof Tuple ? new Tuple(repeated) : repeated;
}

function isCount(value: Value): boolean {
  return ['number', 'bigint', 'boolean'].includes(typeof value);
}

function numeric(
  operator: BinaryOperator,
  x: number | bigint | Float,
  y: number | bigint | Float,
): Value {
  if (x instanceof Float || y instanceof Float) return floats(operator, plain(x), plain(y));
  return integers(operator, x, y);
}

function plain(value: number | bigint | Float): number {
  return value instanceof Float ? value.value : Number(value);
}

function floats(operator: BinaryOperator, x: number, y: number): Float {
  if (y === 0 && ['/', '//', '%'].includes(operator)) throw divisionByZero(operator, 'float');
  switch (operator) {
    case '+':
      return new Float(x + y);
    case '-':
      return new Float(x - y);
    case '*':
      return new Float(x * y);
    case '/':
      return new Float(x / y);
    case '//':
      return new Float((x - modulo(x, y)) / y);
    case '%':
      return new Float(modulo(x, y));
    case '**':
      return power(x, y);
  }
}

/** The rest that has the sign of the divisor. */
function modulo(x: number, y: number): number {
  const rest = x % y;
  if (rest === 0) return y < 0 ? -0 : 0;
  return rest < 0 === y < 0 ? rest : rest + y;
}

function power(x: number, y: number): Float {
  if (x === 0 && y < 0)
    throw new TemplateFault('ZeroDivisionError', '0.0 cannot be raised to a negative power');
  if (x < 0 && !Number.isInteger(y) && Number.isFinite(y) && Number.isFinite(x))
    throw typeError('complex numbers are not supported');
  const result = x === 1 || (x === -1 && !Number.isFinite(y)) ? 1 : x ** y;
  if (!Number.isFinite(result) && Number.isFinite(x) && Number.isFinite(y))
    throw new TemplateFault('OverflowError', 'Numerical result out of range');
  return new Float(result);
}

function integers(operator: BinaryOperator, x: number | bigint, y: number | bigint): Value {
  if (operator === '/') return quotient(x, y);
  if (operator === '**') return integerPower(BigInt(x), BigInt(y));
  if (typeof x === 'number' && typeof y === 'number') {
    const small = smallIntegers(operator, x, y);
    if (Number.isSafeInteger(small)) return small + 0;
  }
  const [a, b] = [BigInt(x), BigInt(y)];
  checkBits(bits(a) + bits(b));
  switch (operator) {
    case '+':
      return integer(a + b);
    case '-':
      return integer(a - b);
    case '*':
      return integer(a * b);
    case '//':
      return integer((a - floorRest(a, b)) / b);
    case '%':
      return integer(floorRest(a, b));
  }
}

function smallIntegers(operator: BinaryOperator, x: number, y: number): number {
  switch (operator) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    default:
      return NaN;
  }
}

function floorRest(a: bigint, b: bigint): bigint {
  if (b === 0n) throw divisionByZero('%', 'integer');
  const rest = a % b;
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
}

function quotient(x: number | bigint, y: number | bigint): Float {
  if (Number(y) === 0) throw divisionByZero('/', '');
  return new Float(Number(x) / Number(y));
}

function integerPower(base: bigint, exponent: bigint): Value {
  if (exponent < 0n) return power(Number(base), Number(exponent));
  if (base !== 0n && base !== 1n && base !== -1n) checkBits(bits(base) * Number(exponent));
  else if (exponent > 1n) return integer(base ** (2n - (exponent % 2n)));
  return integer(base ** exponent);
}

function bits(value: bigint): number {
  return value.toString(16).length * 4;
}

function checkBits(count: number): void {
  if (count > MAX_BITS) throw new TemplateFault('OverflowError', 'an integer is too large');
}

function divisionByZero(operator: string, type: string): TemplateFault {
  const names: Readonly<Record<string, string>> = {
    '/': type === 'float' ? 'float division by zero' : 'division by zero',
    '//': type === 'float' ? 'float floor division by zero' : 'integer division or modulo by zero',
    '%': type === 'float' ? 'float modulo' : 'integer division or modulo by zero',
  };
  return new TemplateFault('ZeroDivisionError', names[operator]!);
}

/** Python's unary + and -. */
export function signed(operator: '+' | '-', value: Value): Value {
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (number === undefined)
    throw typeError(`bad operand type for unary ${operator}: '${typeName(value)}'`);
  if (operator === '+') return number;
  if (number instanceof Float) return new Float(-number.value);
  return integer(-BigInt(number));
}
