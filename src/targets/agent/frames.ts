import type { Readable, Writable } from 'node:stream';

/** The most bytes that follow one message. */
export const MAX_BODY_BYTES = 4 * 2 ** 20;
/** A list of 10,000 files is a few megabytes. */
const MAX_HEADER_BYTES = 16 * 2 ** 20;
const LINE_FEED = 10;

/** A message between this machine and the agent: a line of JSON, and the bytes that follow it. */
export interface Frame {
  readonly header: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

/** Writes a message. False: the stream is full, wait for 'drain'. */
export function writeFrame(
  stream: Writable,
  header: Readonly<Record<string, unknown>>,
  body: Uint8Array = new Uint8Array(),
): boolean {
  const line = Buffer.from(`${JSON.stringify({ ...header, bytes: body.length })}\n`);
  return stream.write(body.length === 0 ? line : Buffer.concat([line, body]));
}

/**
 * Reads messages from a stream until `release`, or until a message is not valid, which is an error
 * of the stream.
 */
export class FrameReader {
  private buffer: Buffer = Buffer.alloc(0);
  /** Of the message whose bytes have not all arrived. */
  private header: Frame['header'] | null = null;
  private released = false;

  constructor(
    private readonly stream: Readable,
    private readonly onFrame: (frame: Frame) => void,
  ) {
    stream.on('data', this.push);
  }

  /** Leaves the stream to another reader; gives what was read beyond the last message. */
  release(): Buffer {
    this.released = true;
    this.stream.pause();
    this.stream.off('data', this.push);
    return this.buffer;
  }

  private readonly push = (chunk: Buffer): void => {
    this.buffer = this.buffer.length === 0 ? chunk : Buffer.concat([this.buffer, chunk]);
    try {
      while (!this.released && this.takeOne());
    } catch (error) {
      this.stream.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };

  /** False: the next message is not complete yet. */
  private takeOne(): boolean {
    this.header ??= this.takeHeader();
    if (this.header === null) return false;
    const bytes = Number(this.header['bytes']);
    if (this.buffer.length < bytes) return false;
    const frame = { header: this.header, body: this.buffer.subarray(0, bytes) };
    this.buffer = this.buffer.subarray(bytes);
    this.header = null;
    this.onFrame(frame);
    return true;
  }

  private takeHeader(): Frame['header'] | null {
    const end = this.buffer.indexOf(LINE_FEED);
    if (end > MAX_HEADER_BYTES || (end < 0 && this.buffer.length > MAX_HEADER_BYTES))
      throw new Error('A message is too long.');
    if (end < 0) return null;
    const header = headerOf(this.buffer.toString('utf8', 0, end));
    this.buffer = this.buffer.subarray(end + 1);
    return header;
  }
}

function headerOf(line: string): Frame['header'] {
  const header: unknown = JSON.parse(line);
  const isValid =
    typeof header === 'object' &&
    header !== null &&
    'bytes' in header &&
    Number.isInteger(header.bytes) &&
    Number(header.bytes) >= 0 &&
    Number(header.bytes) <= MAX_BODY_BYTES;
  if (!isValid) throw new Error('A message is not valid.');
  return header;
}
