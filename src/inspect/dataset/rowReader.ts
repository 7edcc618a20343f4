import { readRawRow } from '../../data/rows/rawRow';
import { ProblemCollector } from '../../data/dataset/problems';
import { RowReport } from '../../data/rows/rowReport';
import { rowTexts, type RowText } from '../../data/rows/rowTexts';
import type { Row } from '../../data/rows/row';
import type { RowSettings } from '../../data/rows/settings';
import { jsonFields } from '../../data/rows/jsonFields';
import { contentOfRaw } from '../../data/rows/rawRow';
import { rowHash } from '../../formats/excludedRows';
import type { RawRow, RowUnit } from '../../formats/tables/table';
import { isObject } from '../../shared/values';
import type { Problem } from '../../shared/errors';

/** Problems of a row that are listed. */
const MOST_PROBLEMS = 20;

/** A row that was read, with what is wrong in it. */
export interface ReadRow {
  readonly raw: RawRow;
  /** Null: it has errors, or is skipped. */
  readonly row: Row | null;
  readonly problems: ProblemCollector;
}

/** How the rows of a file are read. */
export interface RowReading {
  readonly file: string;
  readonly unit: RowUnit;
  readonly settings: RowSettings;
}

export function readOne(raw: RawRow, { file, unit, settings }: RowReading): ReadRow {
  const problems = new ProblemCollector(file, { listed: MOST_PROBLEMS, unit });
  const report = new RowReport(problems, raw.number);
  const row = readRawRow(raw, { line: raw.number, report, settings }, unit);
  return { raw, row, problems };
}

/** The first error of a row; null: it has none. */
export const faultOf = (problems: readonly Problem[]): string | null =>
  problems.find(({ severity }) => severity === 'error')?.message ?? null;

/** A row as JSON: its text, or its columns. Empty for a row that cannot be read at all. */
export function jsonOf(raw: RawRow): string {
  switch (raw.kind) {
    case 'json':
      return raw.bytes?.toString('utf8').trim() ?? '';
    case 'values':
      return writtenJson(raw.values);
    case 'fault':
      return '';
  }
}

/** Columns as JSON; integers beyond 2^53 keep their digits. */
function writtenJson(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return JSON.stringify([...value]);
  if (Array.isArray(value)) return `[${value.map(writtenJson).join(',')}]`;
  if (!isObject(value)) return value === undefined ? 'null' : JSON.stringify(value);
  const pairs = Object.entries(value).map(
    ([key, own]) => `${JSON.stringify(key)}:${writtenJson(own)}`,
  );
  return `{${pairs.join(',')}}`;
}

/** What a row is known by; null: it is not known again. */
export function hashOf(raw: RawRow): string | null {
  const content = contentOfRaw(raw);
  return content === null ? null : rowHash(content);
}

/** What a row says; a row with errors as its text. */
export const textsOf = ({ raw, row }: ReadRow): readonly RowText[] =>
  row ? rowTexts(row) : [{ role: '', text: jsonOf(raw) }];

/** The texts of a row, to be searched: also of one with errors. */
export const searchedText = (read: ReadRow): string =>
  textsOf(read)
    .map(({ text }) => text)
    .join('\n');

/** The texts of a row that can be changed. */
export const fieldsOf = (raw: RawRow) => (raw.kind === 'json' ? jsonFields(jsonOf(raw)) : []);
