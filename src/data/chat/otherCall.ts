import { isObject } from '../../shared/values';
import { entryOf } from '../rows/toolCalls';
import { PLACEHOLDER } from './probedChat';

/** A tool call with placeholders as its name and arguments, in the same form. */
export function otherCall(call: unknown): unknown {
  if (!isObject(call)) return call;
  const inner = entryOf(call, 'function');
  if (isObject(inner)) return withEntries(call, { function: otherCall(inner) });
  const other = { [PLACEHOLDER]: PLACEHOLDER };
  const isText = typeof entryOf(call, 'arguments') === 'string';
  return withEntries(call, {
    name: PLACEHOLDER,
    arguments: isText ? JSON.stringify(other) : other,
  });
}

/** An object, or a Map in its place, with other entries; the order of its keys stays. */
const withEntries = (value: object, entries: object): object =>
  value instanceof Map
    ? new Map([...(value as ReadonlyMap<string, unknown>), ...Object.entries(entries)])
    : { ...value, ...entries };
