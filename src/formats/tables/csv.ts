import { parse } from 'csv-parse/sync';
import { BYTE_ORDER_MARK } from './blank';
import type { ByteSource } from './byteSource';
import { CsvSplitter, type CsvRecord } from './csvSplitter';
import { tableFault } from './faults';
import { countOf } from '../../shared/values';
import {
  MAX_ROW_BYTES,
  START,
  type Mark,
  type RawRow,
  type ReadThrough,
  type RowBatch,
  type RowReader,
} from './table';
import { textReader } from './textReader';

/** Cells of these columns that hold a JSON list are lists: no text is meant there. */
const LISTS = new Set([
  'messages',
  'conversations',
  'tokens',
  'tags',
  'ner_tags',
  'input_ids',
  'attention_mask',
  'history',
]);
const MOST_COLUMNS = 10_000;

/**
 * A table of text (RFC 4180) whose first line names the columns. Cells are text; an empty one is
 * null, as in pandas and datasets. Quoted cells may hold line breaks; LF or CRLF ends a record.
 *
 * @throws LoraError('dataset') where the first line is no list of names
 */
export async function csvReader(source: ByteSource, delimiter: string): Promise<RowReader> {
  const columns = await readHeader(source, delimiter);
  return textReader({
    unit: 'line',
    columns,
    batches: (from, options) => records(source, { delimiter, columns, from }, options),
  });
}

async function readHeader(source: ByteSource, delimiter: string): Promise<readonly string[]> {
  for await (const { found } of split(source, delimiter, START)) {
    const [first] = found;
    if (!first) continue;
    const { bytes, fault = 'its quotes do not match, or it is not UTF-8' } = first;
    const cells = bytes && cellsOf([bytes], delimiter)?.[0];
    if (cells) return namesOf(source.path, cells);
    throw tableFault(
      source.path,
      `The first line does not name the columns: ${fault}.`,
      'Write the names of the columns into the first line.',
    );
  }
  return [];
}

/** The names of the columns; those without a name, as pandas writes its index, are numbered. */
function namesOf(file: string, cells: readonly string[]): string[] {
  if (cells.length > MOST_COLUMNS)
    throw tableFault(file, `The first line has more than ${MOST_COLUMNS} columns.`);
  const names = cells.map((cell, i) => cell.trim() || `column ${i + 1}`);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw tableFault(
      file,
      `Two columns have the name ${JSON.stringify(twice.slice(0, 60))}.`,
      'Give each column a name of its own in the first line.',
    );
  return names;
}

interface Place {
  readonly delimiter: string;
  readonly columns: readonly string[];
  readonly from: Mark;
}

async function* records(
  source: ByteSource,
  { delimiter, columns, from }: Place,
  options: ReadThrough | undefined,
): AsyncGenerator<RowBatch> {
  const isStart = from.offset === START.offset;
  let { row } = from;
  let isHeader = isStart;
  for await (const { found, next } of split(source, delimiter, from, options)) {
    const own = isHeader ? found.slice(1) : found;
    if (found.length > 0) isHeader = false;
    const rows = rowsOf(own, delimiter, columns);
    row += rows.length;
    yield { rows, next: { row, ...next } };
  }
}

interface SplitBatch {
  readonly found: readonly CsvRecord[];
  readonly next: Omit<Mark, 'row'>;
}

async function* split(
  source: ByteSource,
  delimiter: string,
  from: Mark,
  options?: ReadThrough,
): AsyncGenerator<SplitBatch> {
  let isStart = from.offset === START.offset;
  const splitter = new CsvSplitter(delimiter, from, MAX_ROW_BYTES);
  for await (const chunk of source.chunks(from.offset, options)) {
    const marked = isStart && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK);
    if (marked) splitter.skip(BYTE_ORDER_MARK.length);
    isStart = false;
    const found = splitter.push(marked ? chunk.subarray(BYTE_ORDER_MARK.length) : chunk);
    yield { found, next: splitter.next };
  }
  yield { found: splitter.end(), next: splitter.next };
}

function rowsOf(
  records: readonly CsvRecord[],
  delimiter: string,
  columns: readonly string[],
): RawRow[] {
  const all = cellsOf(
    records.flatMap(({ bytes }) => bytes ?? []),
    delimiter,
  );
  let at = 0;
  return records.map((record): RawRow => {
    const { number, offset, bytes } = record;
    const cells = bytes && (all ? all[at++] : cellsOf([bytes], delimiter)?.[0]);
    const message = faultOf(record, cells, columns.length);
    if (message !== null || !cells)
      return { kind: 'fault', number, offset, message: message ?? UNREADABLE };
    return { kind: 'values', number, offset, values: valuesOf(columns, cells) };
  });
}

const UNREADABLE = 'The row cannot be read: its quotes do not match.';

function faultOf(
  { bytes, fault }: CsvRecord,
  cells: readonly string[] | null | undefined,
  columns: number,
): string | null {
  if (bytes === null) return `${fault!}.`;
  if (!cells)
    return decoded(bytes) === null
      ? 'The row is not valid UTF-8: save the file as UTF-8.'
      : UNREADABLE;
  if (cells.length === columns) return null;
  return `The row has ${countOf(cells.length, 'cell')}, but the first line names ${countOf(columns, 'column')}.`;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decoded(bytes: Buffer): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** The cells of records; null where one of them has a fault. */
function cellsOf(records: readonly Buffer[], delimiter: string): readonly string[][] | null {
  if (records.length === 0) return [];
  const text = decoded(Buffer.concat(records.flatMap((record) => [record, LINE_BREAK])));
  if (text === null) return null;
  try {
    const cells: string[][] = parse(text, {
      delimiter,
      relax_column_count: true,
      relax_quotes: true,
      record_delimiter: ['\n'],
    });
    return cells.length === records.length ? cells : null;
  } catch {
    return null;
  }
}

const LINE_BREAK = Buffer.from('\n');

function valuesOf(columns: readonly string[], cells: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(columns.map((name, i) => [name, valueOf(name, cells[i]!)]));
}

function valueOf(name: string, cell: string): unknown {
  if (cell === '') return null;
  if (!LISTS.has(name) || !cell.trimStart().startsWith('[')) return cell;
  try {
    return JSON.parse(cell) as unknown;
  } catch {
    return cell;
  }
}
