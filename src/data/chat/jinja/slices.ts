import { typeError, valueError } from './faults';
import { indexOf } from './numbers';
import type { Runtime } from './runtime';
import { Range } from './objects';
import {
  codePoints,
  isList,
  isPlain,
  Markup,
  stringOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values';

/** Python's value[start:stop:step]; null bounds are left out. */
export function slice(rt: Runtime, value: Value, bounds: readonly (Value | null)[]): Value {
  if (value instanceof Undefined) value.fail();
  const [start, stop, step] = bounds.map(bound);
  const text = stringOf(value);
  if (text !== undefined) {
    const part = sliceText(rt, text, { start, stop, step });
    return value instanceof Markup ? new Markup(part) : part;
  }
  const items = value instanceof Tuple ? value.items : value;
  if (value instanceof Range) return sliceRange(value, { start, stop, step });
  if (!isList(items)) throw typeError(`'${typeName(value)}' object is not subscriptable`);
  const part = places(items.length, { start, stop, step }).map((i) => items[i]!);
  rt.allocateItems(part.length);
  return value instanceof Tuple ? new Tuple(part) : part;
}

interface Bounds {
  readonly start: number | undefined;
  readonly stop: number | undefined;
  readonly step: number | undefined;
}

function bound(value: Value | null): number | undefined {
  if (value === null) return undefined;
  const index = indexOf(value);
  if (index !== undefined) return index;
  if (value instanceof Undefined)
    throw typeError('slice indices must be integers or None or have an __index__ method');
  throw typeError('slice indices must be integers or None or have an __index__ method');
}

function sliceText(rt: Runtime, text: string, bounds: Bounds): string {
  rt.allocate(text.length);
  const { step = 1 } = bounds;
  if (isPlain(text) && step === 1) {
    const [from, to] = range(text.length, bounds);
    return text.slice(from, Math.max(from, to));
  }
  const characters = codePoints(text);
  return places(characters.length, bounds)
    .map((i) => characters[i]!)
    .join('');
}

function sliceRange(value: Range, bounds: Bounds): Range {
  const { step = 1 } = bounds;
  const [from, to] = range(value.length, bounds);
  const at = (i: number) => value.start + i * value.stride;
  return new Range(at(from), at(to), value.stride * step);
}

/** The first place and the end, within the length, in the direction of the step. */
export function range(length: number, { start, stop, step = 1 }: Bounds): [number, number] {
  if (step === 0) throw valueError('slice step cannot be zero');
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const clamp = (value: number | undefined, otherwise: number) => {
    if (value === undefined) return otherwise;
    return Math.min(Math.max(value < 0 ? value + length : value, low), high);
  };
  return step > 0 ? [clamp(start, low), clamp(stop, high)] : [clamp(start, high), clamp(stop, low)];
}

function places(length: number, bounds: Bounds): number[] {
  const { step = 1 } = bounds;
  const [from, to] = range(length, bounds);
  const result: number[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) result.push(i);
  return result;
}
