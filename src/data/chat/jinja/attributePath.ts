import { getItem } from './access';
import type { Runtime } from './runtime';
import { indexOf } from './numbers';
import { stringOf, Undefined, type Value } from './values';

export type Getter = (item: Value) => Value;

/** What `attribute=…` of a filter looks up: names and numbers with points between them. */
export function pathGetter(
  rt: Runtime,
  attribute: Value | undefined,
  otherwise?: Value,
  finish: Getter = (item) => item,
): Getter {
  const parts = partsOf(attribute);
  return (item) => {
    let value = item;
    for (const part of parts) {
      value = getItem(rt, value, part);
      if (value instanceof Undefined && otherwise !== undefined && otherwise !== null)
        value = otherwise;
    }
    return finish(value);
  };
}

/** As `pathGetter`, for several paths with commas between them. */
export function pathsGetter(
  rt: Runtime,
  attribute: Value | undefined,
  finish: Getter,
): (item: Value) => Value[] {
  const text = stringOf(attribute);
  const paths = text === undefined ? [attribute] : text.split(',');
  const getters = paths.map((path) => pathGetter(rt, path, undefined, finish));
  return (item) => getters.map((getter) => getter(item));
}

function partsOf(attribute: Value | undefined): Value[] {
  if (attribute === undefined || attribute === null) return [];
  const text = stringOf(attribute);
  if (text !== undefined)
    return text.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  return indexOf(attribute) === undefined ? [] : [attribute];
}

/** For orders that ignore case. */
export function lowered(value: Value): Value {
  return stringOf(value)?.toLowerCase() ?? value;
}
