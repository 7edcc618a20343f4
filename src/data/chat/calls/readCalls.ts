import { isObject } from '../../../shared/values';
import { parsed } from '../../rows/toolCalls';
import type { CallForm, CallShape, JsonForm, NamedForm, ParameterForm, ToolCall } from './form';
import { jsonAt } from './jsonText';
import { pythonAt } from './pythonText';
import { findPattern, isBlank, patternAt, type Found, type Pattern } from './pattern';
import { entriesOf } from './sameJson';
import { valueOf } from './values';

/** The calls of an answer, and the text around them. */
export interface ReadCalls {
  readonly before: string;
  readonly calls: readonly ToolCall[];
  readonly behind: string;
  /** Whether a call begins that cannot be read. */
  readonly isFaulty: boolean;
}

/** One step of reading: what was read, and where it ends. Null: it cannot be read. */
type Step = { readonly calls: readonly ToolCall[]; readonly end: number } | null;

const NAME = /^[^\s"'<>{}[\]()|]{1,200}$/;

/**
 * Reads the calls of an answer in the form of its template. Null: no call begins in it.
 *
 * @param tools The tools that the answer may call, for the types of their parameters.
 */
export function readCalls(text: string, form: CallForm, tools: unknown): ReadCalls | null {
  const start = findPattern(text, 0, form.start);
  if (!start || (isBlank(form.start) && !beginsCall(text, start.end, form))) return null;
  const calls: ToolCall[] = [];
  let at = start.end;
  for (;;) {
    const step = readOne(text, at, form, tools);
    if (step === null)
      return { before: text.slice(0, start.start), calls, behind: '', isFaulty: true };
    calls.push(...step.calls);
    const next = nextCall(text, step.end, form);
    if (next === null) {
      const end = patternAt(text, step.end, form.end)?.end ?? step.end;
      const behind = text.slice(end);
      return { before: text.slice(0, start.start), calls, behind, isFaulty: false };
    }
    at = next;
  }
}

/** Without a mark before calls, only what looks like one begins a call. */
function beginsCall(text: string, offset: number, form: CallForm): boolean {
  if (form.kind === 'python' && !/^\s*\[/.test(text.slice(offset))) return false;
  if (form.kind !== 'json') return readOne(text, offset, form, undefined) !== null;
  const found = jsonAt(text, offset);
  if (found) return callsIn(found.value, form.shape) !== null;
  const { name, arguments: keys } = form.shape;
  const has = (key: string) => text.includes(`"${key}"`);
  return /^\s*\[?\s*\{/.test(text.slice(offset)) && (name ?? ['']).some(has) && keys.some(has);
}

/** Where the next call begins, after what stands between two. Null: none follows. */
function nextCall(text: string, offset: number, form: CallForm): number | null {
  const { start, between, end } = form;
  const passed = between && patternAt(text, offset, between);
  if (passed && (!isBlank(between) || beginsCall(text, passed.end, form))) return passed.end;
  if (isBlank(start)) return null;
  const ended = isBlank(end) ? null : patternAt(text, offset, end);
  return patternAt(text, ended?.end ?? offset, start)?.end ?? null;
}

function readOne(text: string, offset: number, form: CallForm, tools: unknown): Step {
  switch (form.kind) {
    case 'json':
      return readJson(text, offset, form);
    case 'named':
      return readNamed(text, offset, form);
    case 'python':
      return pythonAt(text, offset);
    case 'parameters':
      return readParameters(text, offset, form, tools);
  }
}

function readJson(text: string, offset: number, { shape }: JsonForm): Step {
  const found = jsonAt(text, offset);
  const calls = found && callsIn(found.value, shape);
  return calls && { calls, end: found.end };
}

/** The calls of a JSON value. Null: it holds something else. */
function callsIn(value: unknown, shape: CallShape): ToolCall[] | null {
  const calls = [value].flat().map((item) => callIn(item, shape));
  return calls.every((call) => call !== null) ? calls : null;
}

function callIn(value: unknown, { path, name, arguments: keys }: CallShape): ToolCall | null {
  const inner = path.reduce<unknown>(
    (object, key) => (isObject(object) ? entriesOf(object).get(key) : undefined),
    value,
  );
  if (!isObject(inner)) return null;
  const entries = entriesOf(inner);
  if (name === null) {
    const [only] = entries;
    return entries.size === 1 && only ? callOf(only[0], only[1]) : null;
  }
  const first = (wanted: readonly string[]) =>
    wanted.map((key) => entries.get(key)).find((found) => found !== undefined);
  return callOf(first(name), first(keys));
}

/** Arguments may be JSON as a text. */
function callOf(name: unknown, given: unknown): ToolCall | null {
  const value = parsed(given);
  if (typeof name !== 'string' || name === '' || !isObject(value) || Array.isArray(value))
    return null;
  return { name, arguments: value };
}

function readNamed(text: string, offset: number, { middle }: NamedForm): Step {
  const found = isBlank(middle) ? spaceBehindName(text, offset) : findPattern(text, offset, middle);
  const name = found && nameIn(text, offset, found);
  const json = name !== null && found ? jsonAt(text, found.end) : null;
  const call = json && callOf(name, json.value);
  return call && { calls: [call], end: json.end };
}

/** The text between a name and its arguments where that is nothing or white space. */
function spaceBehindName(text: string, offset: number): Found {
  const length = text.slice(offset).search(/(?<=\S)\s|[{[]|$/);
  return { start: offset + length, end: offset + length };
}

function nameIn(text: string, offset: number, { start }: Found): string | null {
  const name = text.slice(offset, start).trim();
  return NAME.test(name) ? name : null;
}

function readParameters(text: string, offset: number, form: ParameterForm, tools: unknown): Step {
  const { nameKey, keyValue, valueKey, between, end, nameNext, nameEnd } = form;
  const first = findPattern(text, offset, nameKey);
  const bare = nearest(text, offset, [nameNext, nameEnd]);
  const name = nameIn(text, offset, first && !isBefore(bare, first) ? first : (bare ?? NOWHERE));
  if (name === null) return null;
  if (!first || isBefore(bare, first))
    return { calls: [{ name, arguments: {} }], end: bare!.start };
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  let at = first.end;
  for (;;) {
    const middle = findPattern(text, at, keyValue);
    if (!middle) return null;
    const key = text.slice(at, middle.start).trim();
    const next = findPattern(text, middle.end, valueKey);
    const last = nearest(text, middle.end, [between, end]);
    const follows = next && !isBefore(last, next) ? next : last;
    if (!follows) return null;
    values[key] = valueOf(text.slice(middle.end, follows.start), { tools, name, key });
    if (follows !== next)
      return { calls: [{ name, arguments: { ...values } }], end: follows.start };
    at = next.end;
  }
}

const NOWHERE: Found = { start: 0, end: 0 };

const isBefore = (a: Found | null, b: Found): boolean => a !== null && a.start < b.start;

/** The first of several patterns; a blank one stands for the end of the text. */
function nearest(
  text: string,
  offset: number,
  patterns: readonly (Pattern | null)[],
): Found | null {
  const found = patterns.flatMap((pattern) => {
    if (pattern === null) return [];
    if (isBlank(pattern)) return [{ start: text.trimEnd().length, end: text.length }];
    return findPattern(text, offset, pattern) ?? [];
  });
  return found.sort((a, b) => a.start - b.start)[0] ?? null;
}
