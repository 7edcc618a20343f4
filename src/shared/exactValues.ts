// What JavaScript's own values cannot hold of a JSON text (parseExactly in exactJson.ts).

/** A number that Python takes for a float although it is whole: 1.0, not 1. */
export class Float {
  constructor(readonly value: number) {}
}

/** A number of `parseExactly` as one of JavaScript's; other values as they are. */
export function plainNumber(value: unknown): unknown {
  if (value instanceof Float) return value.value;
  return typeof value === 'bigint' ? Number(value) : value;
}

/** An object as one of JavaScript, for what reads some of its keys only. */
export const asPlainObject = (value: unknown): unknown =>
  value instanceof Map ? Object.fromEntries(value as Map<string, unknown>) : value;

/** A value of `parseExactly` with JavaScript's own values, as JSON.stringify writes them. */
export function plainJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainJson);
  if (value instanceof Float || typeof value === 'bigint') return plainNumber(value);
  if (typeof value !== 'object' || value === null) return value;
  const entries: Iterable<readonly [unknown, unknown]> =
    value instanceof Map ? (value as ReadonlyMap<unknown, unknown>) : Object.entries(value);
  return Object.fromEntries(Array.from(entries, ([key, item]) => [String(key), plainJson(item)]));
}

/** A text that differs between values of `parseExactly` that differ. */
export const contentKey = (value: object): string => JSON.stringify(value, keyValue);

/** Values that JSON cannot write, such as integers beyond 2^53, in another form. */
function keyValue(_: string, value: unknown): unknown {
  if (value instanceof Map) return [...(value as ReadonlyMap<unknown, unknown>)];
  return typeof value === 'bigint' ? { integer: String(value) } : value;
}
