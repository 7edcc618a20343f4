import { TemplateFault, typeError, valueError } from './faults';
import { filter, type Filter } from './filterTypes';
import { fixedText, numberOf } from './numbers';
import { parseFloatText, parseInteger } from './parseNumber';
import type { Runtime } from './runtime';
import { integerArgument } from './signature';
import { Float, integer, stringOf, typeName, Undefined, type Value } from './values';

export const NUMBER_FILTERS: readonly (readonly [string, Filter])[] = [
  filter('abs', '', (_, value) => absolute(value)),
  filter('int', 'default? base?', (_, value, [otherwise = 0, base = 10]) =>
    toInteger(value, otherwise, integerArgument(base, 'base')),
  ),
  filter(
    'float',
    'default?',
    (_, value, [otherwise = new Float(0)]) => toFloat(value) ?? otherwise,
  ),
  filter('round', 'precision? method?', (rt, value, [precision = 0, method = 'common']) =>
    round(rt, value, integerArgument(precision, 'precision'), stringOf(method)),
  ),
];

function absolute(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (number === undefined) throw typeError(`bad operand type for abs(): '${typeName(value)}'`);
  if (number instanceof Float) return new Float(Math.abs(number.value));
  return number < 0 ? integer(-BigInt(number)) : number;
}

function toInteger(value: Value, otherwise: Value, base: number): Value {
  if (value instanceof Undefined) value.fail();
  const text = stringOf(value);
  if (text !== undefined) {
    const whole = parseInteger(text, base);
    if (whole !== undefined) return whole;
    const float = parseFloatText(text);
    return float === undefined || !Number.isFinite(float)
      ? otherwise
      : integer(BigInt(Math.trunc(float)));
  }
  const number = numberOf(value);
  if (number === undefined) return otherwise;
  if (!(number instanceof Float)) return number;
  if (Number.isNaN(number.value)) return otherwise;
  if (!Number.isFinite(number.value))
    throw new TemplateFault('OverflowError', 'cannot convert float infinity to integer');
  return integer(BigInt(Math.trunc(number.value)));
}

function toFloat(value: Value): Float | undefined {
  if (value instanceof Undefined) value.fail();
  const text = stringOf(value);
  const number = text === undefined ? numberOf(value) : parseFloatText(text);
  if (number === undefined || number instanceof Float) return number;
  return new Float(Number(number));
}

function round(_: Runtime, value: Value, precision: number, method: string | undefined): Value {
  if (method === undefined || !['common', 'ceil', 'floor'].includes(method))
    throw valueError('method must be common, ceil or floor');
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (number === undefined)
    throw typeError(`type ${typeName(value)} doesn't define __round__ method`);
  if (method === 'common')
    return number instanceof Float
      ? new Float(roundFloat(number.value, precision))
      : roundInteger(number, precision);
  const scale = 10 ** precision;
  const scaled = (number instanceof Float ? number.value : Number(number)) * scale;
  return new Float((method === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled)) / scale);
}

function roundFloat(value: number, precision: number): number {
  if (!Number.isFinite(value) || precision > 323) return value;
  if (precision >= 0) return Number(fixedText(value, precision));
  return precision < -308 ? 0 * value : Number(roundInteger(BigInt(Math.round(value)), precision));
}

/** To tens, hundreds, …, ties to even. */
function roundInteger(value: number | bigint, precision: number): number | bigint {
  if (precision >= 0) return value;
  if (precision < -400) return 0;
  const unit = 10n ** BigInt(-precision);
  const whole = BigInt(value);
  const magnitude = whole < 0n ? -whole : whole;
  const quotient = magnitude / unit;
  const twice = 2n * (magnitude % unit);
  const up = twice > unit || (twice === unit && quotient % 2n === 1n);
  const rounded = (quotient + (up ? 1n : 0n)) * unit;
  return integer(whole < 0n ? -rounded : rounded);
}
