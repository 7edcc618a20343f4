import { printParseErrorCode, visit, type ParseError } from 'jsonc-parser';
import { readAlpaca } from './alpaca';
import { CHAT_COLUMNS, readChat } from './chatRow';
import type { RowContext } from './settings';
import type { ColumnNames } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { missingKeyMessage, unknownKeyMessage } from '../../shared/misspelling';
import { plainNumber } from '../../shared/exactValues';
import { isObject } from '../../shared/values';
import { loneSurrogate } from '../../shared/surrogates';
import { kindOf, nearestKey, quote } from './describe';
import { asExchange, readCompletion } from './completion';
import { checkNames, knownNames, renamed } from './columnNames';
import { exactColumns } from './exactColumns';
import { IMAGE_COLUMNS, withColumnImages } from './imageColumns';
import type { RowReport } from './rowReport';
import { repeatedKey } from '../../shared/repeatedKeys';
import {
  labelledAnswer,
  PAIR_COLUMNS,
  readPreference,
  readTokenizedPreference,
  readTokenizedUnpaired,
} from './preference';
import { readTokenized } from './tokenized';
import {
  NEGATIVE_COLUMNS,
  readCaptioned,
  readLabelled,
  readPair,
  readTagged,
  SCORE_COLUMNS,
} from '../tasks/taskRows';
import { readRatedDocument, readRatedDocuments } from '../tasks/rankingRows';
import { filled, type Columns } from './columns';
import type { Row } from './row';
import { rowFormOf, type RowForm } from '../../shared/objective';
import { KNOWN_FORMATS } from './knownFormats';

interface Format {
  readonly required: readonly string[];
  readonly optional: readonly string[];
  /** Whether images may stand beside its messages. */
  readonly images?: true;
  /** The row, or null where it has errors, which are reported. */
  readonly read: (columns: Columns, context: RowContext) => Row | null;
}

/** JSON in UTF-8 can only write half a pair as an escape. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

/** Columns of rows for rerankers: documents and their scores. */
const RATED_LISTS = [
  ['documents', 'scores'],
  ['documents', 'labels'],
  ['docs', 'labels'],
] as const;
const RATED_TEXTS = [
  ['document', 'score'],
  ['document', 'label'],
  ['text', 'score'],
  ['text', 'label'],
] as const;

/** Where a row has the keys of several formats, the first one applies. */
const FORMATS: Readonly<Record<RowForm, readonly Format[]>> = {
  image_cls: [],
  features: [],
  causal_lm: [
    ...['messages', 'conversations'].map((key) => ({
      required: [key],
      optional: CHAT_COLUMNS,
      images: true as const,
      read: (columns: Columns, context: RowContext) =>
        readChat(columns[key], key, columns, context),
    })),
    { required: ['input_ids'], optional: ['labels', 'attention_mask'], read: readTokenized },
    {
      required: ['prompt', 'completion'],
      optional: CHAT_COLUMNS,
      images: true,
      read: readCompletion,
    },
    {
      required: ['instruction', 'output'],
      optional: ['input', 'history', ...CHAT_COLUMNS],
      read: readAlpaca,
    },
    { required: ['text'], optional: [], read: readText },
  ],
  seq2seq_lm: [
    {
      required: ['prompt', 'completion'],
      optional: [],
      read: (columns, context) => asExchange(readCompletion(columns, context), context.report),
    },
    {
      required: ['instruction', 'output'],
      optional: ['input'],
      read: (columns, context) => asExchange(readAlpaca(columns, context), context.report),
    },
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
    {
      required: ['anchor', 'positive'],
      optional: [...NEGATIVE_COLUMNS, ...SCORE_COLUMNS],
      read: readPair('anchor', 'positive'),
    },
    {
      required: ['query', 'positive'],
      optional: [...NEGATIVE_COLUMNS, ...SCORE_COLUMNS],
      read: readPair('query', 'positive'),
    },
    {
      required: ['sentence1', 'sentence2'],
      optional: SCORE_COLUMNS,
      read: readPair('sentence1', 'sentence2'),
    },
  ],
  contrastive: [
    { required: ['image', 'text'], optional: [], read: readCaptioned('text') },
    { required: ['image', 'caption'], optional: [], read: readCaptioned('caption') },
  ],
  reranker: [
    ...RATED_LISTS.map(([documents, scores]) => ({
      required: ['query', documents, scores],
      optional: [],
      read: readRatedDocuments(documents, scores),
    })),
    ...RATED_TEXTS.map(([document, score]) => ({
      required: ['query', document, score],
      optional: [],
      read: readRatedDocument(document, score),
    })),
  ],
  preference: [
    {
      required: ['chosen', 'rejected'],
      optional: PAIR_COLUMNS,
      images: true,
      read: readPreference,
    },
    {
      required: ['chosen_ids', 'rejected_ids'],
      optional: ['prompt_ids', 'margin', 'ref_chosen_logps', 'ref_rejected_logps'],
      read: readTokenizedPreference,
    },
  ],
  unpaired: [
    {
      required: ['prompt', 'completion', 'label'],
      optional: ['ref_logps', ...CHAT_COLUMNS],
      images: true,
      read: (columns, context) => {
        const answer = readCompletion(columns, context);
        return answer && labelledAnswer(answer, columns, context);
      },
    },
    {
      required: ['prompt_ids', 'completion_ids', 'label'],
      optional: ['ref_logps'],
      read: readTokenizedUnpaired,
    },
  ],
};

/**
 * Reads a line of a dataset, whose format follows from its keys. Null where it has errors or is
 * skipped, which is reported.
 */
export function readRow(text: string, context: RowContext): Row | null {
  const { report } = context;
  const parsed = parseJson(text, report);
  if (parsed === undefined) return null;
  if (!isObject(parsed)) return report.error(`A row must be a JSON object, not ${kindOf(parsed)}.`);
  const lone = SURROGATE_ESCAPE.test(text) ? loneSurrogate(parsed) : undefined;
  if (lone !== undefined)
    return report.error(
      'The text contains half of a surrogate pair (\\ud800 to \\udfff without its other half), which is not a character.',
      lone,
    );
  const repeated = repeatedKey(text);
  if (repeated) return report.repeated(repeated.key, repeated.path);
  return readColumns(parsed, context, (columns, names) => exactly(columns, text, names, report));
}

/**
 * Reads a row of a table with columns. Null where it has errors or is skipped, which is reported.
 */
export const readValues = (values: Columns, context: RowContext): Row | null =>
  readColumns(values, context, (columns) => columns);

/** The columns as Python reads them; null: they cannot be, which is reported. */
type Exact = (columns: Columns, names: ColumnNames) => Columns | null;

function readColumns(given: Columns, context: RowContext, exact: Exact): Row | null {
  const { report, settings } = context;
  const form = rowFormOf(settings);
  const formats = FORMATS[form];
  const names = namesIn(given, context, formats);
  if (!names) return null;
  const parsed = renamed(given, names);
  if (form === 'causal_lm' && isPair(parsed)) return refusePair(parsed, report);
  const format = formatOf(withoutNulls(parsed), formats) ?? nullFormat(parsed, formats);
  const columns = withoutNulls(parsed, format?.required);
  if (!format)
    return Object.keys(columns).length === 0 && Object.keys(parsed).length > 0
      ? report.error(`All values of the row are null; known rows have: ${KNOWN_FORMATS[form]}.`)
      : unknownFormat(columns, formats, KNOWN_FORMATS[form], report);
  const before = report.errorCount;
  checkKeys(columns, format, report);
  if (report.errorCount > before) return null;
  const weight = weightOf(columns[WEIGHT], report);
  if (weight === null) return null;
  const whole = exact(columns, names);
  const row = whole && readFormat(format, whole, context);
  return row && (weight === 1 ? row : { ...row, weight });
}

function readFormat(format: Format, columns: Columns, context: RowContext): Row | null {
  const own = format.images ? withColumnImages(columns, context.report) : columns;
  return own && format.read(own, context);
}

/** The column that rows of every format can have: what the row's losses count. */
const WEIGHT = 'weight';

/** Null: not a weight, or 0, by which a row is left out; both are reported. */
function weightOf(value: unknown, report: RowReport): number | null {
  if (value === undefined) return 1;
  const plain = plainNumber(value);
  // the cells of a CSV file are text
  const isNumber = typeof plain === 'number' || (typeof plain === 'string' && plain.trim() !== '');
  const weight = isNumber ? Math.fround(Number(plain)) : NaN;
  if (!(weight >= 0 && weight < Infinity))
    return report.error(
      `"${WEIGHT}" must be a number of at least 0, by which the row's loss is multiplied, not ${quote(typeof value === 'string' ? value : JSON.stringify(value))}.`,
      WEIGHT,
    );
  if (weight > 0) return weight;
  report.warn(`The row has the weight 0 and is left out.`);
  return null;
}

const hasAll =
  (columns: Columns) =>
  ({ required }: Format): boolean =>
    required.every((key) => columns[key] !== undefined && columns[key] !== null);

/** What a row can be read as, by the names of its columns or by others that mean the same. */
export function knownForms(columns: Columns): readonly RowForm[] {
  const keys = Object.keys(withoutNulls(columns));
  return (Object.keys(FORMATS) as (keyof typeof FORMATS)[]).filter(
    (form) => FORMATS[form].some(hasAll(columns)) || knownNames(keys, form) !== null,
  );
}

/**
 * The names that were asked for, or those that are known where a row has no format. Null: the row
 * lacks one, which is reported.
 */
function namesIn(
  given: Columns,
  { report, settings }: RowContext,
  formats: readonly Format[],
): ColumnNames | null {
  const { columns: asked = {} } = settings;
  if (Object.keys(asked).length > 0) return checkNames(given, asked, report) ? asked : null;
  if (formats.some(hasAll(given))) return asked;
  return knownNames(Object.keys(withoutNulls(given)), rowFormOf(settings)) ?? asked;
}

const isPair = (row: Columns): boolean =>
  ('chosen' in row && 'rejected' in row) || ('chosen_ids' in row && 'rejected_ids' in row);

const refusePair = (row: Columns, report: RowReport): null =>
  report.error(
    'The row has a chosen and a rejected answer: set "objective": {"method": "dpo"}, or another method that learns from such pairs.',
    'rejected' in row ? 'rejected' : 'rejected_ids',
  );

/** Null: the row cannot be read as Python reads it, which is reported. */
function exactly(
  columns: Columns,
  text: string,
  names: ColumnNames,
  report: RowReport,
): Columns | null {
  try {
    return exactColumns(columns, text, names);
  } catch (error) {
    return report.error(
      error instanceof RangeError
        ? 'Not valid JSON: it is nested too deeply.'
        : LoraError.from(error, 'dataset').message,
    );
  }
}

/**
 * Null stands for a missing value: tables with rows of several formats have all columns in each
 * row, and null in those of the other formats. `kept`: the keys of the row's own format.
 */
const withoutNulls = (columns: Columns, kept: readonly string[] = []): Columns =>
  Object.fromEntries(
    Object.entries(columns).filter(([key, value]) => value !== null || kept.includes(key)),
  );

/** The format of a row that has the keys of just one, but null in all of them. */
const nullFormat = (columns: Columns, formats: readonly Format[]): Format | undefined =>
  formats.find(
    ({ required, optional }) =>
      required.every((key) => columns[key] === null) &&
      Object.keys(columns).every((key) => required.includes(key) || optional.includes(key)),
  );

function parseJson(text: string, report: RowReport): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const { reason, column } = syntaxFault(text);
    report.error(`Not valid JSON: ${reason}${hintFor(text)}.`, undefined, column);
    return undefined;
  }
}

function hintFor(text: string): string {
  if (text.includes('\0')) return '. The line has NUL bytes: the file is damaged';
  if (/^\s*\{\s*'/.test(text)) return '. JSON wants double quotes';
  if (/[:[,]\s*(?:NaN|-?Infinity)\s*[,}\]]/.test(text))
    return '. NaN and Infinity are not JSON: write null';
  if (/\r\s*\S/.test(text)) return '. Lines must end with LF (\\n), not with CR (\\r) alone';
  return '';
}

/** The columns of a failing JSON.parse differ between versions of Node. */
function syntaxFault(text: string): {
  readonly reason: string;
  readonly column: number | undefined;
} {
  const first = firstSyntaxError(text);
  if (first === 'too deep') return { reason: 'it is nested too deeply', column: undefined };
  if (!first) return { reason: 'it does not parse', column: undefined };
  return {
    reason: printParseErrorCode(first.error)
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toLowerCase(),
    column: first.offset + 1,
  };
}

/** Found without building the values, which a long line has millions of. */
function firstSyntaxError(text: string): Pick<ParseError, 'error' | 'offset'> | 'too deep' | null {
  const found: Pick<ParseError, 'error' | 'offset'>[] = [];
  try {
    visit(
      text,
      {
        onError: (error, offset) => {
          found.push({ error, offset });
          throw new RangeError('found');
        },
      },
      { disallowComments: true },
    );
  } catch {
    return found[0] ?? 'too deep';
  }
  return null;
}

/** The first format whose required keys are all present, else the one with the most of them. */
function formatOf(columns: Columns, formats: readonly Format[]): Format | undefined {
  const present = (format: Format) => format.required.filter((key) => key in columns).length;
  return (
    formats.find((format) => present(format) === format.required.length) ??
    formats
      .filter((format) => present(format) > 0)
      .reduce<Format | undefined>((a, b) => (a && present(a) >= present(b) ? a : b), undefined)
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
  if (near) {
    const [key, meant] = near;
    return report.error(unknownKeyMessage({ key, meant: meant! }), key);
  }
  const found =
    keys.length === 0
      ? 'The row is empty'
      : `The row has ${keys.slice(0, 8).map(quote).join(', ')}`;
  return report.error(`${found}; known rows have: ${wanted}.`);
}

/** Reports missing keys, with the unknown key that is probably meant, and ignored keys. */
function checkKeys(columns: Columns, format: Format, report: RowReport): void {
  const images = format.images ? IMAGE_COLUMNS : [];
  const known = [...format.required, ...format.optional, ...images, WEIGHT];
  const others = Object.keys(columns).filter((key) => !known.includes(key));
  const meant = (name: string) => others.find((key) => nearestKey(key, [name]) === name);
  for (const name of format.required.filter((key) => !(key in columns))) {
    const near = meant(name);
    report.error(
      near === undefined ? `"${name}" is missing.` : missingKeyMessage({ key: near, meant: name }),
      near ?? name,
    );
  }
  for (const name of format.optional.filter((key) => !(key in columns))) {
    const near = meant(name);
    if (near !== undefined) report.error(unknownKeyMessage({ key: near, meant: name }), near);
  }
  for (const key of others) report.ignored(key);
}

function readText(columns: Columns, { line, report }: RowContext): Row | null {
  const value = filled(columns, 'text', report);
  return value === null ? null : { kind: 'text', line, text: value };
}
