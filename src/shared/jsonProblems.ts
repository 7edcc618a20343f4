import { findNodeAtLocation, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser';
import type * as v from 'valibot';
import type { Place, Problem } from './errors';
import { nearestName } from './nearest';
import { entriesOfAny, itemOf } from './schemaParts';
import { ruleOf } from './schemaRule';

// Problems of JSON files that people write (recipes, targets), at their lines and keys.

/** The place of an offset. */
export type Locate = (offset: number) => Place;

/** Finds the lines of a text. */
export function locatorOf(text: string, file: string): Locate {
  const lines = lineStarts(text);
  return (offset) => placeOf(file, lines, offset);
}

/** What the parser complains of. */
export const syntaxProblems = (errors: readonly ParseError[], at: Locate): Problem[] =>
  errors.map((e) => ({
    severity: 'error',
    message: `Not valid JSON: ${spaced(printParseErrorCode(e.error))}.`,
    place: at(e.offset),
  }));

/** InvalidSymbol -> invalid symbol */
const spaced = (code: string) => code.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();

/** valibot stops at the first unknown key of an object; `keyProblems` finds them all. */
export const isUnknownKey = (issue: v.BaseIssue<unknown>) =>
  issue.type === 'strict_object' && issue.expected === 'never';

/**
 * Problems of unknown keys, and of keys that stand twice in an object (JSON would silently keep the
 * last one). Where the schema has no keys, as in rank_pattern, all are known.
 */
export function keyProblems(node: Node, schema: unknown, at: Locate, path = ''): Problem[] {
  const inner = (child: Node, own: unknown, name: string) =>
    keyProblems(child, own, at, `${path}${name}.`);
  if (node.type === 'array')
    return (node.children ?? []).flatMap((child, i) => inner(child, itemOf(schema), String(i)));
  if (node.type !== 'object') return [];
  const entries = entriesOfAny(schema);
  const seen = new Set<string>();
  return (node.children ?? []).flatMap(({ children: [key, value] = [] }) => {
    if (!key) return [];
    const name = String(key.value);
    const place = { ...at(key.offset), key: path + name };
    const message = keyMessage(name, entries, seen);
    seen.add(name);
    if (message !== null) return [{ severity: 'error' as const, message, place }];
    return value ? inner(value, entries?.[name], name) : [];
  });
}

function keyMessage(
  name: string,
  entries: Record<string, unknown> | undefined,
  seen: ReadonlySet<string>,
): string | null {
  if (entries && !Object.hasOwn(entries, name)) return unknownKeyMessage(name, entries);
  return seen.has(name) ? `The key "${name}" is duplicated.` : null;
}

function unknownKeyMessage(name: string, entries: Record<string, unknown>): string {
  const known = Object.keys(entries).filter((key) => !key.startsWith('$'));
  const nearest = nearestName(name, known);
  const hint = nearest ? `Did you mean "${nearest}"?` : `Known keys: ${known.join(', ')}.`;
  return `Unknown key "${name}". ${hint}`;
}

/** A value that the schema refuses; `what`: a noun for the whole. */
export function valueProblem(
  issue: v.BaseIssue<unknown>,
  { root, at, what }: { readonly root: Node; readonly at: Locate; readonly what: string },
): Problem {
  const path = (issue.path ?? []).map((item) => item.key as string | number);
  const key = path.join('.');
  return {
    severity: 'error',
    message: valueMessage(issue, key, what),
    place: { ...at(nearestNode(root, path).offset), ...(key && { key }) },
  };
}

function valueMessage(issue: v.BaseIssue<unknown>, key: string, what: string): string {
  if (!key) return `${what} must be a JSON object, not ${issue.received}.`;
  if (
    issue.received === 'undefined' ||
    (issue.type === 'strict_object' && issue.input === undefined)
  )
    return `"${key}" is missing.`;
  return `"${key}" ${ruleOf(issue)}, not ${shortened(JSON.stringify(issue.input))}.`;
}

const LONGEST_SHOWN = 200;

const shortened = (text: string): string =>
  text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;

/** The node at a path, or at the longest part of it that exists. */
export function nearestNode(root: Node, path: readonly (string | number)[]): Node {
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length));
    if (node) return node;
  }
  return root;
}

/** The value of a node. */
export function toValue(node: Node): unknown {
  if (node.type === 'array') return (node.children ?? []).map(toValue);
  if (node.type !== 'object') return node.value as unknown;
  return Object.fromEntries(
    (node.children ?? []).map((p) => [
      String(p.children?.[0]?.value),
      p.children?.[1] ? toValue(p.children[1]) : undefined,
    ]),
  );
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) starts.push(i + 1);
  return starts;
}

function placeOf(file: string, lines: readonly number[], offset: number): Place {
  let line = lines.length - 1;
  while (lines[line]! > offset) line--;
  return { file, line: line + 1, column: offset - lines[line]! + 1 };
}
