import { LineSplitter } from '../../common/lineSplitter';
import { BYTE_ORDER_MARK, isBlank } from './blank';
import type { ByteSource } from './byteSource';
import {
  MAX_ROW_BYTES,
  START,
  type JsonRow,
  type Mark,
  type ReadThrough,
  type RowBatch,
  type RowReader,
} from './table';
import { textReader } from './textReader';

/**
 * Lines of JSON: only LF and CRLF end a line; a byte order mark at the start and blank lines are
 * skipped.
 */
export const jsonLinesReader = (source: ByteSource): RowReader =>
  textReader({
    unit: 'line',
    columns: null,
    batches: (from, options) => lines(source, from, options),
  });

async function* lines(
  source: ByteSource,
  from: Mark,
  options: ReadThrough | undefined,
): AsyncGenerator<RowBatch> {
  let rows: JsonRow[] = [];
  let { row, number, offset: base } = from;
  let end = base;
  const splitter = new LineSplitter((bytes, offset) => {
    const at = number++;
    if (bytes && isBlank(bytes)) return;
    rows.push({ kind: 'json', number: at, offset: base + offset, bytes });
  }, MAX_ROW_BYTES);
  const batch = (): RowBatch => {
    row += rows.length;
    const done = { rows, next: { row, number, offset: end } };
    rows = [];
    return done;
  };
  let isStart = from.offset === START.offset;
  for await (const chunk of source.chunks(from.offset, options)) {
    const marked = isStart && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK);
    if (marked) base += BYTE_ORDER_MARK.length;
    isStart = false;
    splitter.push(marked ? chunk.subarray(BYTE_ORDER_MARK.length) : chunk);
    end = base + splitter.lineStart;
    yield batch();
  }
  splitter.end();
  end = base + splitter.lineStart;
  if (rows.length > 0) yield batch();
}
