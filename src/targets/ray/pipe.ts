import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { LoraError } from '../../shared/errors';
import { putPackage } from './jobsApi';
import type { RayHttp } from './rayHttp';
import { LogStream } from './remoteFiles';

/** The launcher looks for messages several times a second. */
const OPEN_MS = 8_000;
const RETRY_MS = 200;
const MAX_MESSAGE_BYTES = 2 ** 20;
const MAX_FRAME_BYTES = 2 ** 20;
/** Between looks at the file of a pipe that says nothing. */
const QUIET_MS = 100;

/** Where the pipe of an engine is. */
export interface PipePlace {
  readonly submission: string;
  readonly node: string;
}

/**
 * A connection to the pipe of an engine on a node. What is written goes through the cluster's
 * key-value store, and what the engine says comes from a file in the node's logs: a request is
 * answered within about a second. engine/ray/launch.py is the other end.
 */
export class RayPipe extends Duplex {
  private sent = 0;
  private reading = false;
  private readonly closed_ = new AbortController();
  private frames = new Frames();

  private constructor(
    private readonly http: RayHttp,
    private readonly prefix: string,
    private readonly stream: LogStream,
  ) {
    super();
  }

  /** Null: the engine cannot be reached. @throws LoraError('target' | 'cancelled') */
  static async open(
    http: RayHttp,
    { submission, node }: PipePlace,
    signal: AbortSignal,
  ): Promise<RayPipe | null> {
    const id = randomBytes(8).toString('hex');
    const prefix = `${submission}-pipe-${id}`;
    await putPackage(http, messageName(prefix, 0), Buffer.from([0]), signal);
    const file = { node, name: `${submission}/pipe-${id}`, grows: true };
    const end = Date.now() + OPEN_MS;
    let stream: LogStream | null = null;
    while (stream === null && Date.now() < end) {
      await wait(RETRY_MS, undefined, { signal }).catch(() => undefined);
      stream = await LogStream.open(http, file, signal);
    }
    if (stream === null) return null;
    const first = await stream.take(2, signal);
    if (first.toString() === '+\n') return new RayPipe(http, prefix, stream);
    stream.close();
    return null;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.sendAll(chunk).then(
      () => done(),
      (error: unknown) => done(LoraError.from(error, 'target')),
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    // the engine may have ended already
    this.send(Buffer.alloc(0)).then(
      () => done(),
      () => done(),
    );
  }

  override _read(): void {
    if (this.reading) return;
    this.reading = true;
    this.pull().then(
      (data) => {
        this.reading = false;
        this.push(data);
      },
      (error: unknown) => this.destroy(LoraError.from(error, 'target')),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.closed_.abort();
    this.stream.close();
    const last = this.writableFinished ? Promise.resolve() : this.send(Buffer.alloc(0));
    last.catch(() => undefined).finally(() => done(error));
  }

  /** What comes next; null: the end. */
  private async pull(): Promise<Buffer | null> {
    for (;;) {
      const next = this.frames.take();
      if (next !== undefined) return next;
      const bytes = await this.stream.available(this.closed_.signal);
      if (bytes === null) return null;
      this.frames.push(bytes);
      if (bytes.length === 0) await wait(QUIET_MS, undefined, { signal: this.closed_.signal });
    }
  }

  private async sendAll(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += MAX_MESSAGE_BYTES)
      await this.send(chunk.subarray(at, at + MAX_MESSAGE_BYTES));
  }

  private async send(bytes: Buffer): Promise<void> {
    this.sent++;
    // the store keeps no empty values
    const body = Buffer.concat([Buffer.from([0]), bytes]);
    const signal = AbortSignal.timeout(OPEN_MS);
    await putPackage(this.http, messageName(this.prefix, this.sent), body, signal);
  }
}

const messageName = (prefix: string, number: number): string =>
  `${prefix}-${String(number).padStart(6, '0')}`;

/** Takes apart what the launcher wrote: `<length>\n<bytes>`, and `-\n` at the end. */
export class Frames {
  private buffer: Buffer = Buffer.alloc(0);

  push(bytes: Buffer): void {
    this.buffer = this.buffer.length === 0 ? bytes : Buffer.concat([this.buffer, bytes]);
  }

  /** The next content; null: the end; undefined: it is not complete. @throws LoraError('target') */
  take(): Buffer | null | undefined {
    const end = this.buffer.indexOf('\n');
    if (end < 0 && this.buffer.length < 16) return undefined;
    const head = this.buffer.toString('latin1', 0, Math.max(end, 0));
    if (head === '-') return null;
    const length = /^\d{1,7}$/.test(head) ? Number(head) : NaN;
    if (!(length > 0 && length <= MAX_FRAME_BYTES))
      throw new LoraError('target', 'The cluster sent something else than what the engine says.');
    if (this.buffer.length < end + 1 + length) return undefined;
    const content = this.buffer.subarray(end + 1, end + 1 + length);
    this.buffer = this.buffer.subarray(end + 1 + length);
    return content;
  }
}
