import {
  parquetMetadataAsync,
  parquetReadObjects,
  type AsyncBuffer,
  type FileMetaData,
} from 'hyparquet';
import { openRegularFile, type RegularFile } from '../../common/regularFile';
import { damaged, tableFault, unreadable } from './faults';
import { asRowValue } from './rowValue';
import { checkPages, type GroupSize } from './parquetPages';
import { leafPaths } from './parquetSchema';
import { PARQUET_CODECS, textOfBytes } from './parquetCodecs';
import type { Mark, RowBatch, RowReader, ValuesRow } from './table';

/** "PAR1" at both ends of a file. */
const MAGIC = 0x31524150;
/** The description of a file with a million row groups has less. */
const MOST_FOOTER_BYTES = 2 ** 28;
/** Unpacked bytes that are read at once. */
const WINDOW_BYTES = 2 ** 26;
const MOST_WINDOW_ROWS = 2 ** 16;
/** Lists and structs of a row group are only read together. */
const MOST_NESTED_BYTES = 2 ** 29;

/** A part of a row group that is read at once. */
interface Window {
  readonly start: number;
  readonly end: number;
}

/**
 * A Parquet file. Its row groups are read in parts of at most 64 MiB, those with lists or structs
 * as a whole.
 *
 * @throws LoraError('dataset') where it is damaged, or too much of it must be read at once
 */
export async function parquetReader(path: string): Promise<RowReader> {
  const opened = await openRegularFile(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const file = new ParquetFile(path, opened, await footerOf(path, opened));
    return {
      unit: 'row',
      columns: file.columns,
      count: file.rows,
      isSequential: false,
      batches: (from) => file.batches(from),
      close: () => opened.handle.close(),
    };
  } catch (error) {
    await opened.handle.close();
    throw damaged(path, 'Parquet', error);
  }
}

/** Reads bytes of the file, which must be there. */
function bufferOf({ handle, info }: RegularFile): AsyncBuffer {
  return {
    byteLength: info.size,
    slice: async (start, end = info.size) => {
      const length = end - start;
      if (!(start >= 0 && length >= 0 && end <= info.size))
        throw new RangeError('a part of it lies outside of the file');
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const { bytesRead } = await handle.read(bytes, done, length - done, start + done);
        if (bytesRead === 0) throw new RangeError('the file is shorter than it was');
        done += bytesRead;
      }
      return bytes.buffer;
    },
  };
}

async function footerOf(path: string, opened: RegularFile): Promise<FileMetaData> {
  const file = bufferOf(opened);
  if (file.byteLength < 12) throw new RangeError('it is too short');
  const end = new DataView(await file.slice(file.byteLength - 8, file.byteLength));
  if (end.getUint32(4, true) !== MAGIC) throw new RangeError('it is cut off');
  if (end.getUint32(0, true) > MOST_FOOTER_BYTES)
    throw tableFault(path, 'The description at the end of the Parquet file is too long.');
  return parquetMetadataAsync(file, { geoparquet: false });
}

class ParquetFile {
  readonly columns: readonly string[];
  readonly rows: number;
  private readonly file: AsyncBuffer;
  /** The row that each group begins with. */
  private readonly starts: readonly number[];

  constructor(
    private readonly path: string,
    opened: RegularFile,
    private readonly metadata: FileMetaData,
  ) {
    this.file = bufferOf(opened);
    const leaves = leafPaths(metadata);
    this.columns = [...new Set(leaves.map(([name]) => name!))];
    const starts: number[] = [];
    let rows = 0;
    for (const { num_rows, columns } of metadata.row_groups) {
      checkColumns(columns, leaves);
      starts.push(rows);
      rows += numberOf(num_rows);
    }
    if (rows !== numberOf(metadata.num_rows))
      throw new RangeError('the number of rows is not the one of its row groups');
    this.starts = starts;
    this.rows = rows;
  }

  async *batches({ row: from }: Mark): AsyncGenerator<RowBatch> {
    for (const [i, start] of this.starts.entries()) {
      const end = this.starts[i + 1] ?? this.rows;
      if (end <= from || end === start) continue;
      for (const window of await this.windowsOf(i, start, end)) {
        if (window.end <= from) continue;
        const part = { start: Math.max(from, window.start), end: window.end };
        const rows = await this.read(part);
        yield { rows, next: { row: part.end, number: part.end + 1, offset: part.end } };
      }
    }
  }

  private async windowsOf(group: number, start: number, end: number): Promise<readonly Window[]> {
    const size = await this.sizeOf(group);
    const rows = end - start;
    if (size.isNested) {
      if (size.bytes <= MOST_NESTED_BYTES) return [{ start, end }];
      throw tableFault(
        this.path,
        `Row group ${group + 1} of the Parquet file has lists or structs, and ${Math.round(size.bytes / 2 ** 20)} MiB of rows that must be read at once.`,
        'Write it with smaller row groups, such as row_group_size=1000.',
      );
    }
    const most = Math.floor((rows * WINDOW_BYTES) / Math.max(1, size.bytes));
    const step = Math.max(1, Math.min(rows, MOST_WINDOW_ROWS, most));
    return Array.from({ length: Math.ceil(rows / step) }, (_, i) => ({
      start: start + i * step,
      end: Math.min(end, start + (i + 1) * step),
    }));
  }

  private async sizeOf(group: number): Promise<GroupSize> {
    try {
      return await checkPages(this.file, this.metadata, group);
    } catch (error) {
      throw damaged(this.path, 'Parquet', error);
    }
  }

  private async read({ start, end }: Window): Promise<readonly ValuesRow[]> {
    try {
      const objects: readonly Readonly<Record<string, unknown>>[] = await parquetReadObjects({
        file: this.file,
        metadata: this.metadata,
        rowStart: start,
        rowEnd: end,
        compressors: PARQUET_CODECS,
        parsers: { stringFromBytes: textOfBytes },
        utf8: false,
        geoparquet: false,
        useOffsetIndex: false,
      });
      if (objects.length !== end - start) throw new RangeError('rows are missing');
      return objects.map((object, i) => this.rowOf(object, start + i));
    } catch (error) {
      throw damaged(this.path, `Parquet (rows ${start + 1} to ${end})`, error);
    }
  }

  private rowOf(object: Readonly<Record<string, unknown>>, row: number): ValuesRow {
    const values = Object.fromEntries(
      this.columns.map((name) => {
        const value = object[name];
        if (value === undefined) throw new RangeError(`row ${row + 1} has no value of ${name}`);
        return [name, asRowValue(value)];
      }),
    );
    return { kind: 'values', number: row + 1, offset: row, values };
  }
}

/** A number of the file that rows are counted in. */
function numberOf(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError('a number is damaged');
  return number;
}

/** Each group has the leaves of the schema, in its order. */
function checkColumns(
  columns: FileMetaData['row_groups'][number]['columns'],
  leaves: readonly (readonly string[])[],
): void {
  const isSame = columns.every(
    ({ meta_data }, i) =>
      JSON.stringify(meta_data?.path_in_schema) === JSON.stringify(leaves[i] ?? null),
  );
  if (!isSame || columns.length !== leaves.length)
    throw new RangeError('a row group does not have the columns of the schema');
}
