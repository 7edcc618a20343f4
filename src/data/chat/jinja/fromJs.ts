import { Dict, Float, integer, type Value } from './values';

/** Characters and entries of a value, for the budget. */
export interface Converted {
  readonly value: Value;
  readonly size: number;
}

/**
 * A value of JSON as a template sees it. Maps are dictionaries as objects are, with keys in any
 * order; a Float stays one, so that 1.0 is not taken for 1. Values that JSON lacks become none.
 */
export function fromJs(value: unknown): Converted {
  let size = 0;
  const convert = (item: unknown): Value => {
    size += 8;
    if (typeof item === 'string') size += item.length;
    if (typeof item === 'string' || typeof item === 'boolean') return item;
    if (typeof item === 'number') return fromNumber(item);
    if (typeof item === 'bigint') return integer(item);
    if (item instanceof Float) return item;
    if (Array.isArray(item)) return item.map(convert);
    if (typeof item !== 'object' || item === null) return null;
    const entries: Iterable<[unknown, unknown]> = item instanceof Map ? item : Object.entries(item);
    return Dict.of(Array.from(entries, ([key, own]) => [convert(key), convert(own)]));
  };
  return { value: convert(value), size };
}

/** Numbers that JavaScript keeps exactly are integers where they are whole. */
function fromNumber(value: number): Value {
  if (Number.isSafeInteger(value)) return value + 0;
  return new Float(value);
}
