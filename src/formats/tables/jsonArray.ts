import { isBlank } from './blank';
import type { ByteSource } from './byteSource';
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

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The elements of one JSON list, which are numbered from 1. The list is never in memory. */
export const jsonArrayReader = (source: ByteSource): RowReader =>
  textReader({
    unit: 'row',
    columns: null,
    batches: (from, options) => elements(source, from, options),
  });

async function* elements(
  source: ByteSource,
  from: Mark,
  options: ReadThrough | undefined,
): AsyncGenerator<RowBatch> {
  const splitter = new ListSplitter(from);
  for await (const chunk of source.chunks(from.offset, options)) yield splitter.push(chunk);
  yield splitter.end();
}

/** Splits the bytes of a list at the commas between its elements. */
class ListSplitter {
  private rows: RawRow[] = [];
  private row: number;
  private number: number;
  /** Of the next byte. */
  private offset: number;
  private start: number;
  private parts: Buffer[] = [];
  private length = 0;
  /** 0: before the list; 1: between its elements; more: within one. */
  private depth: number;
  private isBehindComma = false;
  private inString = false;
  private escaped = false;
  private closed = false;
  private refused = false;

  constructor({ row, number, offset }: Mark) {
    this.row = row;
    this.number = number;
    this.offset = offset;
    this.start = offset;
    this.depth = offset === START.offset ? 0 : 1;
  }

  push(chunk: Buffer): RowBatch {
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (this.inString) this.inside(byte);
      else if (byte === QUOTE && this.depth > 0) this.inString = true;
      else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
        if (this.depth++ === 0) from = this.begin(i);
      } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
        if (--this.depth === 0) from = this.finish(chunk.subarray(from, i), i, true);
      } else if (byte === COMMA && this.depth === 1)
        from = this.finish(chunk.subarray(from, i), i, false);
    }
    this.add(chunk.subarray(from));
    this.offset += chunk.length;
    return this.batch();
  }

  end(): RowBatch {
    const isRest = this.length > MAX_ROW_BYTES || !isBlank(Buffer.concat(this.parts));
    if (!this.closed)
      this.fault(
        'The list of rows does not end with "]": the file is cut off, or brackets do not match.',
      );
    else if (isRest) this.fault('There is more text after the "]" that ends the list of rows.');
    return this.batch();
  }

  private inside(byte: number): void {
    if (this.escaped) this.escaped = false;
    else if (byte === BACKSLASH) this.escaped = true;
    else if (byte === QUOTE) this.inString = false;
  }

  /** The bracket that begins the list, at a byte of the chunk. */
  private begin(i: number): number {
    if (this.closed) this.fault('There is more text after the "]" that ends the list of rows.');
    this.parts = [];
    this.length = 0;
    this.start = this.offset + i + 1;
    return i + 1;
  }

  /** Ends an element before byte i of the chunk. */
  private finish(last: Buffer, i: number, isEnd: boolean): number {
    this.add(last);
    const { length, start } = this;
    const bytes = length > MAX_ROW_BYTES ? null : Buffer.concat(this.parts);
    const isEmpty = bytes !== null && isBlank(bytes);
    this.parts = [];
    this.length = 0;
    // from a mark at the bracket that ends the list, there is nothing to read
    this.start = this.offset + i + (isEnd ? 0 : 1);
    if (isEnd) this.closed = true;
    if (!isEmpty) this.rows.push({ kind: 'json', number: this.number++, offset: start, bytes });
    else if (!isEnd || this.isBehindComma)
      this.fault('An element of the list is missing before or after a comma.');
    this.isBehindComma = !isEnd;
    return i + 1;
  }

  private add(part: Buffer): void {
    this.length += part.length;
    if (this.length > MAX_ROW_BYTES) this.parts = [];
    else if (part.length > 0) this.parts.push(part);
  }

  /** Said once: what follows a wrong bracket is wrong, too. */
  private fault(message: string): void {
    if (this.refused) return;
    this.refused = true;
    this.rows.push({ kind: 'fault', number: this.number++, offset: this.start, message });
  }

  private batch(): RowBatch {
    const { rows, number, start } = this;
    this.rows = [];
    this.row += rows.length;
    return { rows, next: { row: this.row, number, offset: start } };
  }
}
