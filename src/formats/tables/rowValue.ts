const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * A value of a column as JSON would have it: lists and structs as lists and objects, times as text,
 * whole numbers as numbers (beyond 2^53 as bigint, which `exactValues` knows), bytes as text where
 * they are UTF-8.
 */
export function asRowValue(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  switch (typeof value) {
    case 'bigint': {
      const number = Number(value);
      return Number.isSafeInteger(number) ? number : value;
    }
    case 'number':
      // JSON has no NaN: pandas writes it for missing numbers
      return Number.isFinite(value) ? value : null;
    case 'object':
      return asObject(value);
    default:
      return value;
  }
}

function asObject(value: object): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return textOf(value);
  if (ArrayBuffer.isView(value) && Symbol.iterator in value)
    return Array.from(value as unknown as Iterable<unknown>, asRowValue);
  if (Array.isArray(value)) return value.map(asRowValue);
  return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, asRowValue(own)]));
}

function textOf(bytes: Uint8Array): unknown {
  try {
    return decoder.decode(bytes);
  } catch {
    return bytes;
  }
}
