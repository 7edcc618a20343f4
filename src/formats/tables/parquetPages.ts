import type { AsyncBuffer, FileMetaData } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';

/** The memory that a row group takes. */
export interface GroupSize {
  /** Unpacked bytes of all columns, by the headers of their pages. */
  readonly bytes: number;
  /** Whether it has lists or structs. */
  readonly isNested: boolean;
}

/** Headers hold statistics of their pages, but no rows. */
const HEADER_BYTES = 2 ** 16;
const MOST_HEADER_BYTES = 2 ** 22;
/** Larger than any page that is written: writers end a page after 1 MiB, but not within a value. */
const MOST_PAGE_BYTES = 2 ** 27;
const MOST_PAGE_VALUES = 2 ** 22;
const MOST_VALUES = 2 ** 25;

/**
 * Reads the headers of all pages of a row group, so that nothing of a size that the file cannot
 * have is made room for.
 *
 * @throws RangeError where a page is too large, or where pages and columns do not agree
 */
export async function checkPages(
  file: AsyncBuffer,
  { row_groups }: FileMetaData,
  group: number,
): Promise<GroupSize> {
  const { columns, num_rows } = row_groups[group]!;
  let bytes = 0;
  let isNested = false;
  for (const { meta_data } of columns) {
    if (!meta_data) throw new RangeError('a column has no description');
    const { data_page_offset, dictionary_page_offset, total_compressed_size } = meta_data;
    const first = Number(dictionary_page_offset ?? data_page_offset);
    const start = first > 0 ? Math.min(first, Number(data_page_offset)) : Number(data_page_offset);
    const size = await columnSize(file, start, start + Number(total_compressed_size));
    bytes += size.bytes;
    if (size.values !== Number(meta_data.num_values))
      throw new RangeError('the pages of a column do not have as many values as it says');
    if (meta_data.path_in_schema.length > 1) isNested = true;
    else if (size.values !== Number(num_rows))
      throw new RangeError('a column does not have as many values as there are rows');
  }
  return { bytes, isNested };
}

interface ColumnSize {
  readonly bytes: number;
  readonly values: number;
}

async function columnSize(file: AsyncBuffer, start: number, end: number): Promise<ColumnSize> {
  let [bytes, values] = [0, 0];
  for (let at = start; at < end - 1;) {
    const { header, length } = await headerAt(file, at, end);
    const packed = header.compressed_page_size;
    const unpacked = header.uncompressed_page_size;
    if (!(packed >= 0 && at + length + packed <= end && unpacked >= 0))
      throw new RangeError('a page lies outside of its column');
    if (unpacked > MOST_PAGE_BYTES) throw new RangeError('a page unpacks to more than 128 MiB');
    const data = header.data_page_header ?? header.data_page_header_v2;
    const count = (header.dictionary_page_header ?? data)?.num_values;
    if (count === undefined) throw new RangeError('a page is of an unknown kind');
    if (!(count >= 0 && count <= MOST_PAGE_VALUES))
      throw new RangeError(`a page has ${count} values`);
    bytes += unpacked;
    if (data) values += count;
    if (values > MOST_VALUES) throw new RangeError(`a column has more than ${MOST_VALUES} values`);
    at += length + packed;
  }
  return { bytes, values };
}

async function headerAt(file: AsyncBuffer, at: number, end: number) {
  for (let size = HEADER_BYTES; ; size *= 8) {
    const length = Math.min(size, end - at);
    const reader = { view: new DataView(await file.slice(at, at + length)), offset: 0 };
    try {
      return { header: parquetHeader(reader), length: reader.offset };
    } catch (error) {
      if (length < size || size >= MOST_HEADER_BYTES) throw error;
    }
  }
}
