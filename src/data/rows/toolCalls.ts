import { parseExactly } from '../../shared/exactJson';
import { repeatedKey } from '../../shared/repeatedKeys';
import { isObject } from '../../shared/values';
import { kindOf } from './describe';
import type { RowReport } from './rowReport';

/** A value that may be given as JSON text instead. Undefined: the text is no JSON. */
export function parsed(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return parseExactly(value);
  } catch {
    return undefined;
  }
}

/** Whether a value given as JSON text has a key twice in one object, which is reported. */
export function repeatsKey(value: unknown, key: string, report: RowReport): boolean {
  if (typeof value !== 'string' || parsed(value) === undefined) return false;
  const repeated = repeatedKey(value);
  if (repeated) report.repeated(repeated.key, key);
  return repeated !== null;
}

/**
 * The tool calls of a message as they stand: {function: {name, arguments}}, or {name, arguments}.
 * Null: they are no tool calls, which is reported.
 */
export function readToolCalls(value: unknown, key: string, report: RowReport): unknown[] | null {
  if (repeatsKey(value, key, report)) return null;
  const calls = parsed(value);
  if (!Array.isArray(calls))
    return report.error(`"tool_calls" must be a list, not ${kindOf(value)}.`, key);
  const odd = calls.findIndex((call: unknown) => nameOf(call) === undefined);
  return odd < 0
    ? (calls as unknown[])
    : report.error('A tool call must have a "function" with a "name".', `${key}[${odd}]`);
}

/** The calls that a message of the role function_call holds as JSON: one, or a list. */
export function callsOfText(value: unknown, key: string, report: RowReport): unknown[] | null {
  if (repeatsKey(value, key, report)) return null;
  const calls = [parsed(value)].flat();
  if (!calls.every(isObject))
    return report.error('A tool call must be JSON with "name" and "arguments".', key);
  return readToolCalls(calls.map(asFunction), key, report);
}

/** A call {name, arguments} in the form of OpenAI's tool_calls. */
export const asFunction = (call: Readonly<Record<string, unknown>>): unknown =>
  entryOf(call, 'function') === undefined ? { type: 'function', function: call } : call;

/** An entry of an object or of a Map, which stands for one. */
export const entryOf = (value: object, key: string): unknown =>
  value instanceof Map
    ? (value as ReadonlyMap<string, unknown>).get(key)
    : (value as Readonly<Record<string, unknown>>)[key];

/** The name of the function that is called. */
export function nameOf(call: unknown): string | undefined {
  if (!isObject(call)) return undefined;
  const inner = entryOf(call, 'function');
  const name = entryOf(isObject(inner) ? inner : call, 'name');
  return typeof name === 'string' ? name : undefined;
}
