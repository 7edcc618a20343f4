import { parseTree, printParseErrorCode, type ParseError } from 'jsonc-parser';
import { orderChat } from '../chat/order';
import type { RowContext } from './settings';
import { isObject } from '../../shared/values';
import { kindOf, nearestKey, quote } from './describe';
import { readMessages } from './messages';
import type { RowReport } from './rowReport';
import { readTokenized } from './tokenized';
import { readLabelled, readPair, readTagged } from '../tasks/taskRows';
import { filled, text, type Columns } from './columns';
import type { Row } from './row';
import type { Task } from '../../shared/task';

interface Format {
  readonly required: readonly string[];
  readonly optional: readonly string[];
  /** The row, or null where it has errors, which are reported. */
  readonly read: (columns: Columns, context: RowContext) => Row | null;
}

/** Where a row has the keys of several formats, the first one applies. */
const FORMATS: Readonly<Record<Exclude<Task, 'image_cls'>, readonly Format[]>> = {
  causal_lm: [
    {
      required: ['messages'],
      optional: [],
      read: (columns, context) => readChat(columns['messages'], 'messages', context),
    },
    {
      required: ['conversations'],
      optional: [],
      read: (columns, context) => readChat(columns['conversations'], 'conversations', context),
    },
    { required: ['input_ids'], optional: ['labels', 'attention_mask'], read: readTokenized },
    { required: ['prompt', 'completion'], optional: [], read: readCompletion },
    { required: ['instruction', 'output'], optional: ['input'], read: readAlpaca },
    { required: ['text'], optional: [], read: readText },
  ],
  seq_cls: [
    {
      required: ['text', 'label'],
      optional: ['text_pair'],
      read: readLabelled('text', 'text_pair', 'label'),
    },
    {
      required: ['text', 'labels'],
      optional: ['text_pair'],
      read: readLabelled('text', 'text_pair', 'labels'),
    },
    {
      required: ['sentence1', 'sentence2', 'label'],
      optional: [],
      read: readLabelled('sentence1', 'sentence2', 'label'),
    },
    {
      required: ['sentence', 'label'],
      optional: [],
      read: readLabelled('sentence', 'sentence2', 'label'),
    },
  ],
  token_cls: [
    { required: ['tokens', 'tags'], optional: [], read: readTagged('tags') },
    { required: ['tokens', 'ner_tags'], optional: [], read: readTagged('ner_tags') },
    { required: ['tokens', 'labels'], optional: [], read: readTagged('labels') },
  ],
  embedding: [
    { required: ['anchor', 'positive'], optional: [], read: readPair('anchor', 'positive') },
    { required: ['query', 'positive'], optional: [], read: readPair('query', 'positive') },
    {
      required: ['sentence1', 'sentence2'],
      optional: [],
      read: readPair('sentence1', 'sentence2'),
    },
  ],
};

/** The keys that rows of a task can have, for messages. */
export const KNOWN_FORMATS: Readonly<Record<Task, string>> = {
  causal_lm:
    'messages; conversations; prompt and completion; instruction, input and output; text; input_ids and labels',
  seq_cls: 'text and label (or labels), with text_pair where two texts belong together',
  token_cls: 'tokens and tags, one for each word',
  image_cls: 'a folder for each class, with images in it',
  embedding: 'anchor and positive',
};

/**
 * Reads a line of a dataset, whose format follows from its keys. Null where it has errors or is
 * skipped, which is reported.
 */
export function readRow(text: string, context: RowContext): Row | null {
  const { report, settings } = context;
  const columns = parseJson(text, report);
  if (columns === undefined) return null;
  if (!isObject(columns))
    return report.error(`A row must be a JSON object, not ${kindOf(columns)}.`);
  const { task } = settings;
  const formats = task === 'image_cls' ? [] : FORMATS[task];
  const format = formatOf(columns, formats);
  if (!format) return unknownFormat(columns, formats, KNOWN_FORMATS[task], report);
  const before = report.errorCount;
  checkKeys(columns, format, report);
  return report.errorCount > before ? null : format.read(columns, context);
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
function syntaxFault(text: string): {
  readonly reason: string;
  readonly column: number | undefined;
} {
  const errors: ParseError[] = [];
  try {
    parseTree(text, errors, { disallowComments: true });
  } catch {
    return { reason: 'it is nested too deeply', column: undefined };
  }
  const [first] = errors;
  if (!first) return { reason: 'it does not parse', column: undefined };
  return {
    reason: printParseErrorCode(first.error)
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toLowerCase(),
    column: first.offset + 1,
  };
}

/** The first format whose required keys are all present, else the first with any of them. */
function formatOf(columns: Columns, formats: readonly Format[]): Format | undefined {
  const present = (format: Format) => format.required.filter((key) => key in columns).length;
  return (
    formats.find((format) => present(format) === format.required.length) ??
    formats.find((format) => present(format) > 0)
  );
}

function unknownFormat(
  columns: Columns,
  formats: readonly Format[],
  wanted: string,
  report: RowReport,
): null {
  const keys = Object.keys(columns);
  const known = formats.flatMap((format) => format.required);
  const near = keys
    .map((key) => [key, nearestKey(key, known)] as const)
    .find(([, name]) => name !== undefined);
  if (near)
    return report.error(`"${near[0]}" is not a known key; did you mean "${near[1]!}"?`, near[0]);
  const found =
    keys.length === 0
      ? 'The row is empty'
      : `The row has ${keys.slice(0, 8).map(quote).join(', ')}`;
  return report.error(`${found}; known rows have: ${wanted}.`);
}

/** Reports missing keys, with the unknown key that is probably meant, and ignored keys. */
function checkKeys(columns: Columns, format: Format, report: RowReport): void {
  const known = [...format.required, ...format.optional];
  const others = Object.keys(columns).filter((key) => !known.includes(key));
  const meant = (name: string) => others.find((key) => nearestKey(key, [name]) === name);
  for (const name of format.required.filter((key) => !(key in columns))) {
    const near = meant(name);
    report.error(
      `"${name}" is missing${near === undefined ? '.' : `; is it misspelled as "${near}"?`}`,
      near ?? name,
    );
  }
  for (const name of format.optional.filter((key) => !(key in columns))) {
    const near = meant(name);
    if (near !== undefined)
      report.error(`"${near}" is not a known key; did you mean "${name}"?`, near);
  }
  for (const key of others) report.ignored(key);
}

function readChat(value: unknown, key: string, context: RowContext): Row | null {
  const { line, report, settings } = context;
  const written = readMessages(value, key, report);
  const messages = written && orderChat(written, key, settings, report);
  return messages && { kind: 'messages', line, messages };
}

/** Two texts, or two lists of messages (TRL), which are joined to one chat. */
function readCompletion(columns: Columns, context: RowContext): Row | null {
  const { line, report } = context;
  const { prompt, completion } = columns;
  if (Array.isArray(prompt) && Array.isArray(completion))
    return readChat((prompt as unknown[]).concat(completion), 'prompt+completion', context);
  const texts = [text(columns, 'prompt', report), filled(columns, 'completion', report)] as const;
  return texts[0] === null || texts[1] === null
    ? null
    : { kind: 'completion', line, prompt: texts[0], completion: texts[1] };
}

/** The user's message is the instruction, followed by an empty line and the input, if any. */
function readAlpaca(columns: Columns, { line, report }: RowContext): Row | null {
  const instruction = filled(columns, 'instruction', report);
  const input =
    columns['input'] === undefined || columns['input'] === null
      ? ''
      : text(columns, 'input', report);
  const output = filled(columns, 'output', report);
  if (instruction === null || input === null || output === null) return null;
  const content = input === '' ? instruction : `${instruction}\n\n${input}`;
  return {
    kind: 'messages',
    line,
    messages: [
      { role: 'user', content },
      { role: 'assistant', content: output },
    ],
  };
}

function readText(columns: Columns, { line, report }: RowContext): Row | null {
  const value = filled(columns, 'text', report);
  return value === null ? null : { kind: 'text', line, text: value };
}
