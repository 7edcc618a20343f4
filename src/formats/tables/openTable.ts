import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { hashFile } from '../../common/hashFile';
import type { FileFingerprint } from '../../shared/run';
import { byteSource, checkTableFile, headOf, unpackedHead } from './byteSource';
import { changedWhileRead, tableFault, unreadable } from './faults';
import { RowIndex } from './rowIndex';
import {
  START,
  type OnBytes,
  type RawRow,
  type RowPlace,
  type RowReader,
  type Table,
  type TableKind,
} from './table';
import { packingOf, tableKindOf } from './tableKind';

/** Bytes from the start by which kinds of files are recognized. */
const HEAD_BYTES = 2 ** 16;

/**
 * Opens a file of rows, whatever its format. The caller closes it.
 *
 * @throws LoraError('dataset') naming what else the file is, or why it cannot be read
 */
export async function openTable(path: string): Promise<Table> {
  const { size, mtimeMs } = await checkTableFile(path);
  const packed = await headOf(path, HEAD_BYTES);
  const packing = packingOf(packed);
  const head = packing ? await unpackedHead(byteSource(path, packing), HEAD_BYTES) : packed;
  const kind = tableKindOf(path, head, packing);
  return new OpenTable({ path, size, mtimeMs }, kind, await readerOf(path, kind));
}

/** Libraries of formats are loaded when a file of that format is read. */
async function readerOf(path: string, kind: TableKind): Promise<RowReader> {
  const source = byteSource(path, kind.packing);
  switch (kind.format) {
    case 'jsonl':
      return (await import('./jsonLines')).jsonLinesReader(source);
    case 'json':
      return (await import('./jsonArray')).jsonArrayReader(source);
    case 'csv':
      return (await import('./csv')).csvReader(source, kind.delimiter);
    case 'parquet':
      return (await import('./parquet')).parquetReader(path);
    case 'arrow':
      throw tableFault(
        path,
        'The file is an Arrow file, which is not read.',
        "Write it as Parquet: with pandas, read_feather('data.feather').to_parquet('data.parquet'); with datasets, Dataset.from_file('data.arrow').to_parquet('data.parquet').",
      );
  }
}

interface OpenedFile {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

class OpenTable implements Table {
  readonly path: string;
  private readonly index: RowIndex;

  constructor(
    private readonly file: OpenedFile,
    readonly kind: TableKind,
    private readonly reader: RowReader,
  ) {
    this.path = file.path;
    this.index = new RowIndex(reader.count);
  }

  get unit() {
    return this.reader.unit;
  }

  get columns() {
    return this.reader.columns;
  }

  get count() {
    return this.index.count;
  }

  async *rows(from = 0, onBytes?: OnBytes): AsyncGenerator<readonly RawRow[]> {
    const { size } = this.file;
    const isText = this.reader.isSequential;
    const mark = isText ? this.index.before(from) : { row: from, number: from + 1, offset: from };
    let { row } = mark;
    let done = 0;
    const onRaw = (bytes: Buffer) => {
      done += bytes.length;
      onBytes?.(Math.min(size, done), size);
    };
    for await (const { rows, next } of this.reader.batches(mark, { onRaw })) {
      if (isText) this.index.add(next);
      else onBytes?.(Math.floor((size * next.row) / Math.max(1, this.count ?? 1)), size);
      const skipped = Math.min(rows.length, Math.max(0, from - row));
      row += rows.length;
      if (skipped < rows.length) yield skipped === 0 ? rows : rows.slice(skipped);
    }
    this.index.end(row);
  }

  async countRows(onBytes?: OnBytes): Promise<number> {
    if (this.count !== null) return this.count;
    const { size } = this.file;
    let done = 0;
    const onRaw = (bytes: Buffer) => {
      done += bytes.length;
      onBytes?.(Math.min(size, done), size);
    };
    let row = 0;
    for await (const { next } of this.reader.batches(START, { onRaw })) {
      this.index.add(next);
      row = next.row;
    }
    this.index.end(row);
    return row;
  }

  async at({ number, offset }: RowPlace): Promise<RawRow | null> {
    const row = this.reader.isSequential ? 0 : offset;
    for await (const { rows } of this.reader.batches({ row, number, offset }))
      if (rows[0]) return rows[0];
    return null;
  }

  async readAll(onRow: (row: RawRow) => void, onBytes?: OnBytes): Promise<FileFingerprint> {
    const { path } = this.file;
    const hash = createHash('sha256');
    const { size } = this.file;
    let done = 0;
    const onRaw = (bytes: Buffer) => {
      hash.update(bytes);
      done += bytes.length;
    };
    const { isSequential } = this.reader;
    let row = 0;
    for await (const { rows, next } of this.reader.batches(START, { onRaw })) {
      if (isSequential) this.index.add(next);
      for (const each of rows) onRow(each);
      row = next.row;
      onBytes?.(isSequential ? done : progressOf(size, row, this.count), size);
    }
    this.index.end(row);
    const sha256 = isSequential ? hash.digest('hex') : await this.hashed();
    await this.checkUnchanged(isSequential ? done : size);
    return { file: path, size, sha256 };
  }

  close(): Promise<void> {
    return this.reader.close();
  }

  private hashed(): Promise<string> {
    return hashFile(this.file.path).catch((error: unknown) => {
      throw unreadable(this.file.path, error);
    });
  }

  private async checkUnchanged(read: number): Promise<void> {
    const { path, size, mtimeMs } = this.file;
    const after = await stat(path).catch((error: unknown) => {
      throw unreadable(path, error);
    });
    if (read !== size || after.size !== size || after.mtimeMs !== mtimeMs)
      throw changedWhileRead(path);
  }
}

const progressOf = (size: number, row: number, count: number | null): number =>
  Math.floor((size * row) / Math.max(1, count ?? 1));
