import { isObject } from './values';

const LONE = /\p{Surrogate}/u;

/** Whether a text holds half of a surrogate pair, which UTF-8 cannot write. */
export const hasLoneSurrogate = (text: string): boolean => LONE.test(text);

/**
 * Where a parsed JSON value holds half of a surrogate pair, as "messages[0].content"; '' for the
 * value itself. Undefined: nowhere.
 */
export function loneSurrogate(value: unknown): string | undefined {
  const waiting: { readonly item: unknown; readonly key: string }[] = [{ item: value, key: '' }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { item, key } = next;
    if (typeof item === 'string' && hasLoneSurrogate(item)) return key;
    const named = isObject(item) && entriesOf(item).some(([name]) => hasLoneSurrogate(name));
    if (named) return key;
    waiting.push(...partsOf(item, key).reverse());
  }
  return undefined;
}

function partsOf(value: unknown, key: string): { item: unknown; key: string }[] {
  if (Array.isArray(value)) return value.map((item: unknown, i) => ({ item, key: `${key}[${i}]` }));
  if (!isObject(value)) return [];
  return entriesOf(value).map(([name, item]) => ({
    item,
    key: key === '' ? name : `${key}.${name}`,
  }));
}

const entriesOf = (value: object): [string, unknown][] =>
  value instanceof Map ? [...(value as ReadonlyMap<string, unknown>)] : Object.entries(value);
