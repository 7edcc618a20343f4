import { parseTree, printParseErrorCode, type ParseError } from 'jsonc-parser';
import { inOrder, type RowSettings } from './chatOrder';
import { isRecord, kindOf, nearestKey, quote } from './json';
import { readMessages } from './rowMessages';
import type { RowReport } from './rowReport';
import { readTokenized } from './rowTokenized';
import type { Row } from './types';

type Columns = Readonly<Record<string, unknown>>;

interface Format {
  readonly required: readonly string[];
  readonly optional: readonly string[];
  /** The row, or null where it has faults, which are reported. */
  readonly read: (columns: Columns, line: number, report: RowReport, settings: RowSettings) => Row | null;
}

/** Where a row has the keys of several formats, the first one counts. */
const FORMATS: readonly Format[] = [
  { required: ['messages'], optional: [], read: (columns, line, report, settings) => chat(columns['messages'], 'messages', line, report, settings) },
  { required: ['conversations'], optional: [], read: (columns, line, report, settings) => chat(columns['conversations'], 'conversations', line, report, settings) },
  { required: ['input_ids'], optional: ['labels', 'attention_mask'], read: readTokenized },
  { required: ['prompt', 'completion'], optional: [], read: readCompletion },
  { required: ['instruction', 'output'], optional: ['input'], read: readAlpaca },
  { required: ['text'], optional: [], read: readText },
];

export const KNOWN_FORMATS = 'messages; conversations; prompt and completion; instruction, input and output; text; input_ids and labels';

/** Reads a line of a dataset by the format it has. Null where it has faults or is skipped, which is reported. */
export function readRow(text: string, line: number, report: RowReport, settings: RowSettings): Row | null {
  const columns = parseJson(text, report);
  if (columns === undefined) return null;
  if (!isRecord(columns)) return report.error(`A row must be a JSON object, not ${kindOf(columns)}.`);
  const format = formatOf(columns);
  if (!format) return unknownFormat(columns, report);
  const before = report.errorCount;
  checkKeys(columns, format, report);
  return report.errorCount > before ? null : format.read(columns, line, report, settings);
}

function parseJson(text: string, report: RowReport): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const { reason, column } = syntaxFault(text);
    const hint = /^\s*\{\s*'/.test(text) ? '. JSON wants double quotes' : '';
    report.error(`Not valid JSON: ${reason}${hint}.`, undefined, column);
    return undefined;
  }
}

/** The columns of a failing JSON.parse differ between versions of Node. */
function syntaxFault(text: string): { readonly reason: string; readonly column: number | undefined } {
  const errors: ParseError[] = [];
  try {
    parseTree(text, errors, { disallowComments: true });
  } catch {
    return { reason: 'it is nested too deeply', column: undefined };
  }
  const [first] = errors;
  if (!first) return { reason: 'it does not parse', column: undefined };
  return { reason: printParseErrorCode(first.error).replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase(), column: first.offset + 1 };
}

/** The first format whose required keys are all there, else the one that lacks fewest. */
function formatOf(columns: Columns): Format | undefined {
  const present = (format: Format) => format.required.filter((key) => key in columns).length;
  return FORMATS.find((format) => present(format) === format.required.length) ?? FORMATS.find((format) => present(format) > 0);
}

function unknownFormat(columns: Columns, report: RowReport): null {
  const keys = Object.keys(columns);
  const known = FORMATS.flatMap((format) => format.required);
  const near = keys.map((key) => [key, nearestKey(key, known)] as const).find(([, name]) => name !== undefined);
  if (near) return report.error(`"${near[0]}" is not a known key; did you mean "${near[1]!}"?`, near[0]);
  const found = keys.length === 0 ? 'The row is empty' : `The row has ${keys.slice(0, 8).map(quote).join(', ')}`;
  return report.error(`${found}; known rows have: ${KNOWN_FORMATS}.`);
}

/** Missing keys, with the unknown key that may be meant; other keys are not used, which is said once for the file. */
function checkKeys(columns: Columns, format: Format, report: RowReport): void {
  const known = [...format.required, ...format.optional];
  const others = Object.keys(columns).filter((key) => !known.includes(key));
  const meant = (name: string) => others.find((key) => nearestKey(key, [name]) === name);
  for (const name of format.required.filter((key) => !(key in columns))) {
    const near = meant(name);
    report.error(`"${name}" is missing${near === undefined ? '.' : `; did you mean it by "${near}"?`}`, near ?? name);
  }
  for (const name of format.optional.filter((key) => !(key in columns))) {
    const near = meant(name);
    if (near !== undefined) report.error(`"${near}" is not a known key; did you mean "${name}"?`, near);
  }
  for (const key of others) report.ignored(key);
}

function chat(value: unknown, key: string, line: number, report: RowReport, settings: RowSettings): Row | null {
  const written = readMessages(value, key, report);
  const messages = written && inOrder(written, key, settings, report);
  return messages && { kind: 'messages', line, messages };
}

/** Two texts, or two lists of messages (TRL), which make one chat. */
function readCompletion(columns: Columns, line: number, report: RowReport, settings: RowSettings): Row | null {
  const { prompt, completion } = columns;
  if (Array.isArray(prompt) && Array.isArray(completion)) return chat((prompt as unknown[]).concat(completion), 'prompt+completion', line, report, settings);
  const texts = [text(columns, 'prompt', report), filled(columns, 'completion', report)] as const;
  return texts[0] === null || texts[1] === null ? null : { kind: 'completion', line, prompt: texts[0], completion: texts[1] };
}

/** The user's message is the instruction, with the input, if any, after an empty line. */
function readAlpaca(columns: Columns, line: number, report: RowReport): Row | null {
  const instruction = filled(columns, 'instruction', report);
  const input = columns['input'] === undefined || columns['input'] === null ? '' : text(columns, 'input', report);
  const output = filled(columns, 'output', report);
  if (instruction === null || input === null || output === null) return null;
  const content = input === '' ? instruction : `${instruction}\n\n${input}`;
  return { kind: 'messages', line, messages: [{ role: 'user', content }, { role: 'assistant', content: output }] };
}

function readText(columns: Columns, line: number, report: RowReport): Row | null {
  const value = filled(columns, 'text', report);
  return value === null ? null : { kind: 'text', line, text: value };
}

function text(columns: Columns, key: string, report: RowReport): string | null {
  const value = columns[key];
  return typeof value === 'string' ? value : report.error(`"${key}" must be text, not ${kindOf(value)}.`, key);
}

function filled(columns: Columns, key: string, report: RowReport): string | null {
  const value = text(columns, key, report);
  return value?.trim() === '' ? report.error(`"${key}" is empty.`, key) : value;
}
