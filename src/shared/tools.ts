import * as v from 'valibot';
import { parseExactly } from './exactJson';
import { asPlainObject } from './exactValues';
import { parsed } from './parsed';
import { described } from './schemaParts';
import { isObject } from './values';

/** The tools that a chat may use: a list of functions with JSON schemas, or that list as JSON. */
export type Tools = readonly object[] | string;

/** The tools themselves, as Python reads them. Undefined: they are no list of tools. */
export function toolsIn(given: unknown): readonly object[] | undefined {
  if (typeof given !== 'string')
    return Array.isArray(given) && given.every(isTool) ? (given as object[]) : undefined;
  try {
    const list = parseExactly(given);
    return Array.isArray(list) && list.every(isTool) ? (list as object[]) : undefined;
  } catch {
    return undefined;
  }
}

/** {"type": "function", "function": {"name", "parameters"}}, or {"name", "parameters"}. */
function isTool(value: unknown): boolean {
  const own = asPlainObject(value);
  if (!isObject(own) || Array.isArray(own)) return false;
  const inner = own['function'] === undefined ? own : asPlainObject(own['function']);
  if (!isObject(inner) || typeof inner['name'] !== 'string' || inner['name'] === '') return false;
  const { parameters } = inner;
  return (
    parameters === undefined ||
    parameters === null ||
    (isObject(parameters) && !Array.isArray(parameters))
  );
}

/** Not described, for the JSON schema of recipes. */
export const TOOLS_VALUE = v.custom<Tools>(
  (given) => toolsIn(given) !== undefined,
  'must be a list of tools, each {"type": "function", "function": {"name": …, "parameters": {…}}}',
);

/** The tools of a recipe. Text keeps what JSON would lose where it is written and read again. */
export const ToolsSchema = described(
  v.nullable(TOOLS_VALUE),
  'The tools that the chats may use, as a list of {"type": "function", "function": {"name", ' +
    '"description", "parameters"}}, parameters being a JSON schema. Rows with their own tools use those instead.',
);

/** The tools of a run's record; undefined if there are none. */
export const asTools = parsed(TOOLS_VALUE);
