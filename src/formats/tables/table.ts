import type { FileFingerprint } from '../../shared/run';

/** The format of the rows of a file. */
export type TableFormat = 'jsonl' | 'json' | 'csv' | 'parquet' | 'arrow';
/** The compression of a text file. */
export type Packing = 'gzip' | 'zstd';

/** The kind of a file, by its name and its first bytes. */
export interface TableKind {
  readonly format: TableFormat;
  readonly packing: Packing | null;
  /** The separator of the cells of a CSV file; '' elsewhere. */
  readonly delimiter: string;
}

/** The unit by which rows are numbered: lines of a text, or rows of a file that has no lines. */
export type RowUnit = 'line' | 'row';

/** Where a row is in its file. */
export interface RowPlace {
  /** From 1: the line that it begins in, or the row. */
  readonly number: number;
  /** By which it is found again: a byte of the unpacked text, or a row from 0. */
  readonly offset: number;
}

/** A row that is JSON, in UTF-8. */
export interface JsonRow extends RowPlace {
  readonly kind: 'json';
  /** Null: longer than MAX_ROW_BYTES. */
  readonly bytes: Buffer | null;
}

/** A row of a table with columns. */
export interface ValuesRow extends RowPlace {
  readonly kind: 'values';
  readonly values: Readonly<Record<string, unknown>>;
}

/** A row that cannot be read, such as one with too many cells. */
export interface FaultyRow extends RowPlace {
  readonly kind: 'fault';
  /** A full sentence. */
  readonly message: string;
}

export type RawRow = JsonRow | ValuesRow | FaultyRow;

/** Longer rows are not kept in memory: the file is probably not made of rows. */
export const MAX_ROW_BYTES = 64 * 2 ** 20;
/** Bytes of a file between two batches of rows, reports of progress, and chances to cancel. */
export const CHUNK_BYTES = 2 ** 18;

/** A place between two rows, from which a file can be read on. */
export interface Mark extends RowPlace {
  /** How many rows are before it. */
  readonly row: number;
}
export const START: Mark = { row: 0, number: 1, offset: 0 };

/** Some rows that follow each other. */
export interface RowBatch {
  readonly rows: readonly RawRow[];
  /** After the last of them. */
  readonly next: Mark;
}

/** Called between two parts of a file; what it throws ends the reading. */
export type OnBytes = (done: number, size: number) => void;

/** How a file is read through. */
export interface ReadThrough {
  /** Gets the bytes of the file as they are read; of formats that are read in order only. */
  readonly onRaw?: (bytes: Buffer) => void;
}

/** The rows of one format. */
export interface RowReader {
  readonly unit: RowUnit;
  /** The names of the columns; null where each row has keys of its own. */
  readonly columns: readonly string[] | null;
  /** Rows, where the file says it; null: it must be read through. */
  readonly count: number | null;
  /** Whether reading from the start passes all bytes of the file to `onRaw`, in order. */
  readonly isSequential: boolean;
  /** Rows from a mark on, of which a bounded part is in memory at a time. */
  batches(from: Mark, options?: ReadThrough): AsyncIterable<RowBatch>;
  close(): Promise<void>;
}

/**
 * An open file of rows. To show rows n to m of a large file: `rows(n)`, and stop after m - n rows;
 * to know how many there are: `count`, else `countRows()` in the background, after which `rows(n)`
 * begins anywhere within one batch. To search: `rows()`, with the places of what is found, and
 * `at(place)` later.
 */
export interface Table {
  readonly path: string;
  readonly kind: TableKind;
  readonly unit: RowUnit;
  readonly columns: readonly string[] | null;
  /** Null: not known before the file has been read through once. */
  readonly count: number | null;
  /**
   * Rows from row `from` on (from 0, in the order of the file), in batches; blank lines are none.
   *
   * @throws LoraError('dataset') where the file cannot be read
   */
  rows(from?: number, onBytes?: OnBytes): AsyncIterable<readonly RawRow[]>;
  /** Reads the file through where its rows are not counted yet. */
  countRows(onBytes?: OnBytes): Promise<number>;
  /** The row at a place; null where there is none. */
  at(place: RowPlace): Promise<RawRow | null>;
  /**
   * Reads the whole file once: its rows in order, and its fingerprint.
   *
   * @throws LoraError('dataset') also where the file changes meanwhile; what the callbacks throw
   */
  readAll(onRow: (row: RawRow) => void, onBytes?: OnBytes): Promise<FileFingerprint>;
  close(): Promise<void>;
}
