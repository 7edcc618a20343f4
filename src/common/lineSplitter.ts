const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** The most bytes of one message between the processes of this program. */
export const MAX_MESSAGE_BYTES = 64 * 2 ** 20;

/**
 * Splits a stream of UTF-8 bytes into lines at LF or CRLF, and nowhere else: node:readline also
 * splits at U+2028, which may stand in a JSON string. Passes on the bytes of each line without its
 * line break and its offset in the stream; null for a line of more than `maxBytes`, which is not
 * kept in memory.
 */
export class LineSplitter {
  private parts: Buffer[] = [];
  private length = 0;
  /** Of the line's first byte in the stream. */
  private offset = 0;

  constructor(
    private readonly onLine: (line: Buffer | null, offset: number) => void,
    private readonly maxBytes: number,
  ) {}

  /** Where the first line that has not been passed on begins in the stream. */
  get lineStart(): number {
    return this.offset;
  }

  /** Adds the next bytes of the stream, which may be kept until their line ends. */
  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.add(chunk.subarray(start, end));
      this.finish();
      start = end + 1;
    }
    this.add(chunk.subarray(start));
  }

  /** Passes on a last line without a line break. */
  end(): void {
    if (this.length > 0) this.finish();
  }

  private add(part: Buffer): void {
    this.length += part.length;
    if (this.length > this.maxBytes) this.parts = [];
    else if (part.length > 0) this.parts.push(part);
  }

  private finish(): void {
    const bytes = this.bytes();
    const { offset } = this;
    this.offset += this.length + 1;
    this.parts = [];
    this.length = 0;
    this.onLine(bytes?.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes, offset);
  }

  private bytes(): Buffer | null {
    if (this.length > this.maxBytes) return null;
    return this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
  }
}

/** A splitter of messages: JSON objects, one per line. A line that is too long becomes ''. */
export const messageSplitter = (onLine: (line: string) => void): LineSplitter =>
  new LineSplitter((line) => onLine(line?.toString('utf8') ?? ''), MAX_MESSAGE_BYTES);
