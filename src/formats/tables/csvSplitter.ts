import { isBlank } from './blank';
import type { Mark, RowPlace } from './table';

const QUOTE = 0x22;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** A record without its line break. */
export interface CsvRecord extends RowPlace {
  /** Null: it has a fault. */
  readonly bytes: Buffer | null;
  readonly fault?: string;
}

type State = 'cell start' | 'plain' | 'quoted' | 'quote in quoted';

/**
 * Splits bytes into the records of a CSV file: at the line breaks that are not in quoted cells. The
 * cells are parsed later, so that each record keeps its place in the file.
 */
export class CsvSplitter {
  private readonly delimiter: number;
  private records: CsvRecord[] = [];
  private state: State = 'cell start';
  private parts: Buffer[] = [];
  private length = 0;
  /** Where the present record begins. */
  private start: RowPlace;
  private line: number;
  /** Of the next byte. */
  private offset: number;

  constructor(
    delimiter: string,
    { number, offset }: Mark,
    private readonly maxBytes: number,
  ) {
    this.delimiter = delimiter.charCodeAt(0);
    this.start = { number, offset };
    this.line = number;
    this.offset = offset;
  }

  /** Where the record begins that has not ended yet. */
  get next(): RowPlace {
    return this.start;
  }

  /** Passes over bytes that belong to no record. */
  skip(count: number): void {
    this.offset += count;
    this.start = { number: this.line, offset: this.offset };
  }

  push(chunk: Buffer): readonly CsvRecord[] {
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (byte === NEWLINE) this.line++;
      if (byte === NEWLINE && this.state !== 'quoted') {
        this.add(chunk.subarray(from, i));
        from = i + 1;
        this.finish(this.offset + from);
      } else this.state = this.after(byte);
    }
    this.add(chunk.subarray(from));
    this.offset += chunk.length;
    return this.take();
  }

  end(): readonly CsvRecord[] {
    if (this.state === 'quoted')
      this.records.push({
        ...this.start,
        bytes: null,
        fault: 'A quoted cell that begins in this row does not end: its closing quote is missing',
      });
    else if (this.length > 0) this.finish(this.offset);
    return this.take();
  }

  private after(byte: number): State {
    switch (this.state) {
      case 'quoted':
        return byte === QUOTE ? 'quote in quoted' : 'quoted';
      case 'quote in quoted':
        if (byte === QUOTE) return 'quoted';
        if (byte === CARRIAGE_RETURN) return 'quote in quoted';
        return byte === this.delimiter ? 'cell start' : 'plain';
      case 'cell start':
        if (byte === QUOTE) return 'quoted';
        return byte === this.delimiter ? 'cell start' : 'plain';
      case 'plain':
        return byte === this.delimiter ? 'cell start' : 'plain';
    }
  }

  private add(part: Buffer): void {
    this.length += part.length;
    if (this.length > this.maxBytes) this.parts = [];
    else if (part.length > 0) this.parts.push(part);
  }

  private finish(next: number): void {
    const isLong = this.length > this.maxBytes;
    const bytes = isLong ? null : this.joined();
    if (!bytes || !isBlank(bytes))
      this.records.push({
        ...this.start,
        bytes: bytes?.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes,
        ...(isLong && { fault: `The row is longer than ${this.maxBytes / 2 ** 20} MiB` }),
      });
    this.parts = [];
    this.length = 0;
    this.state = 'cell start';
    this.start = { number: this.line, offset: next };
  }

  private joined(): Buffer {
    return this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
  }

  private take(): readonly CsvRecord[] {
    const { records } = this;
    this.records = [];
    return records;
  }
}
