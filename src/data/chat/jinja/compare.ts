import { typeError } from './faults';
import { iterate } from './iterate';
import { numberOf } from './numbers';
import type { Runtime } from './runtime';
import {
  Dict,
  Float,
  isList,
  stringOf,
  TemplateObject,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values';

/** Python's ==. */
export function equal(rt: Runtime, a: Value, b: Value): boolean {
  rt.step();
  if (typeof a === 'string' && typeof b === 'string') return a === b;
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined)
    return compareNumbers(plainNumber(x), plainNumber(y)) === 0;
  const [s, t] = [stringOf(a), stringOf(b)];
  return s !== undefined && t !== undefined ? s === t : equalObjects(rt, a, b);
}

function equalObjects(rt: Runtime, a: Value, b: Value): boolean {
  if (a instanceof Undefined) return b instanceof Undefined;
  if (isList(a)) return isList(b) && equalItems(rt, a, b);
  if (a instanceof Tuple) return b instanceof Tuple && equalItems(rt, a.items, b.items);
  if (a instanceof Dict) return b instanceof Dict && equalDicts(rt, a, b);
  if (a instanceof TemplateObject && b instanceof TemplateObject && a.equals)
    return a.equals(rt, b);
  return a === b;
}

function equalItems(rt: Runtime, a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => equal(rt, item, b[i]!));
}

function equalDicts(rt: Runtime, a: Dict, b: Dict): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a.entries()) {
    const other = b.get(key);
    if (other === undefined || !equal(rt, value, other)) return false;
  }
  return true;
}

function plainNumber(value: number | bigint | Float): number | bigint {
  return value instanceof Float ? value.value : value;
}

/**
 * Negative, zero or positive, as Python orders the two; NaN where neither comes first.
 *
 * @throws TemplateFault where they have no order.
 */
export function compare(rt: Runtime, a: Value, b: Value, operator: string): number {
  rt.step();
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return compareNumbers(plainNumber(x), plainNumber(y));
  const [s, t] = [stringOf(a), stringOf(b)];
  if (s !== undefined && t !== undefined) return compareText(s, t);
  if (isList(a) && isList(b)) return compareItems(rt, a, b, operator);
  if (a instanceof Tuple && b instanceof Tuple) return compareItems(rt, a.items, b.items, operator);
  throw typeError(
    `'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  );
}

function compareNumbers(x: number | bigint, y: number | bigint): number {
  if (x < y) return -1;
  if (x > y) return 1;
  return x >= y ? 0 : NaN;
}

/** By code points, where JavaScript compares UTF-16 units. */
function compareText(s: string, t: string): number {
  const length = Math.min(s.length, t.length);
  let i = 0;
  while (i < length && s[i] === t[i]) i++;
  if (i === length) return s.length - t.length;
  return unitOrder(s.charCodeAt(i)) - unitOrder(t.charCodeAt(i));
}

/** Surrogates come after all other units. */
function unitOrder(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function compareItems(
  rt: Runtime,
  a: readonly Value[],
  b: readonly Value[],
  operator: string,
): number {
  for (let i = 0; i < a.length && i < b.length; i++)
    if (!equal(rt, a[i]!, b[i]!)) return compare(rt, a[i]!, b[i]!, operator);
  return a.length - b.length;
}

/** Python's `item in container`. */
export function contains(rt: Runtime, container: Value, item: Value): boolean {
  const text = stringOf(container);
  if (text !== undefined) {
    const part = stringOf(item);
    if (part === undefined)
      throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    rt.scan(text.length);
    return text.includes(part);
  }
  if (container instanceof Dict) return container.has(item);
  if (container === null || (!isIterable(container) && !(container instanceof Undefined)))
    throw typeError(`argument of type '${typeName(container)}' is not iterable`);
  for (const value of iterate(rt, container)) if (equal(rt, value, item)) return true;
  return false;
}

function isIterable(value: Value): boolean {
  if (value instanceof TemplateObject) return value.iterate !== undefined;
  return isList(value) || value instanceof Tuple;
}
