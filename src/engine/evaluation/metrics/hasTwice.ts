import { isObject } from '../../../shared/values';

/** Whether a list of JSON has an item twice: numbers by their value, objects without order. */
export const hasTwice = (list: readonly unknown[]): boolean =>
  list.length > 1 && new Set(list.map(keyOf)).size < list.length;

/** The same text for equal values alone. */
function keyOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(keyOf).join(',')}]`;
  if (!isObject(value)) return typeof value === 'string' ? JSON.stringify(value) : String(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${keyOf(value[name])}`).join(',')}}`;
}
