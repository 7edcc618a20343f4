import { typeError } from './faults';
import type { Runtime } from './runtime';
import {
  codePoints,
  Dict,
  isList,
  lengthOfText,
  stringOf,
  TemplateObject,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values';

/**
 * The items of a value. Each counts as a step.
 *
 * @throws TemplateFault where it cannot be iterated over.
 */
export function* iterate(rt: Runtime, value: Value): IterableIterator<Value> {
  const items = itemsOf(rt, value);
  for (let next = items.next(); next.done !== true; next = items.next()) {
    rt.step();
    yield next.value;
  }
}

/** As `iterate`, but fails at once. */
export function iterator(rt: Runtime, value: Value): IterableIterator<Value> {
  if (!canIterate(value)) throw typeError(`'${typeName(value)}' object is not iterable`);
  return iterate(rt, value);
}

export function canIterate(value: Value): boolean {
  if (stringOf(value) !== undefined || isList(value)) return true;
  if (value instanceof TemplateObject) return value.iterate !== undefined;
  return value instanceof Tuple || value instanceof Dict || value instanceof Undefined;
}

function itemsOf(rt: Runtime, value: Value): Iterator<Value> {
  if (isList(value)) return value[Symbol.iterator]();
  if (value instanceof Tuple) return value.items[Symbol.iterator]();
  if (value instanceof Dict) return value.keys()[Symbol.iterator]();
  if (value instanceof Undefined) return [][Symbol.iterator]();
  const text = stringOf(value);
  if (text !== undefined) {
    rt.allocateItems(text.length);
    return codePoints(text)[Symbol.iterator]();
  }
  if (value instanceof TemplateObject && value.iterate) return value.iterate(rt);
  throw typeError(`'${typeName(value)}' object is not iterable`);
}

/** The items of a value as a list. */
export function listOf(rt: Runtime, value: Value): readonly Value[] {
  if (isList(value)) return value;
  if (value instanceof Tuple) return value.items;
  const items: Value[] = [];
  for (const item of iterator(rt, value)) {
    rt.allocateItems(1);
    items.push(item);
  }
  return items;
}

/** Python's len(), or undefined where a value has none. */
export function lengthIfAny(value: Value): number | undefined {
  const text = stringOf(value);
  if (text !== undefined) return lengthOfText(text);
  if (isList(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Undefined) return 0;
  return value instanceof TemplateObject ? value.length : undefined;
}

/** @throws TemplateFault where a value has no length. */
export function lengthOf(rt: Runtime, value: Value): number {
  const length = lengthIfAny(value);
  if (length === undefined) throw typeError(`object of type '${typeName(value)}' has no len()`);
  rt.scan(stringOf(value)?.length ?? 0);
  return length;
}
