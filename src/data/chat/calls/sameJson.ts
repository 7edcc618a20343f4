import { plainNumber } from '../../../shared/exactValues';
import { isObject } from '../../../shared/values';

/** Whether two values of JSON are equal: numbers by their value, objects without order. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (isNumber(a) || isNumber(b)) return isNumber(a) && isNumber(b) && sameNumber(a, b);
  if (Array.isArray(a) || Array.isArray(b))
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, i) => sameJson(item, b[i]))
    );
  if (!isObject(a) || !isObject(b)) return a === b;
  const [own, other] = [entriesOf(a), entriesOf(b)];
  return (
    own.size === other.size &&
    [...own].every(([key, value]) => other.has(key) && sameJson(value, other.get(key)))
  );
}

const isNumber = (value: unknown): boolean =>
  ['number', 'bigint'].includes(typeof plainNumber(value));

const sameNumber = (a: unknown, b: unknown): boolean =>
  typeof a === 'bigint' && typeof b === 'bigint' ? a === b : plainNumber(a) === plainNumber(b);

/** The entries of an object, or of a Map in its place. */
export const entriesOf = (value: object): ReadonlyMap<string, unknown> =>
  value instanceof Map
    ? (value as ReadonlyMap<string, unknown>)
    : new Map<string, unknown>(Object.entries(value));
