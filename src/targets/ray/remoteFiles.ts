import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { LoraError } from '../../shared/errors';
import { TargetUnreachable, throwIfAborted } from '../targetError';
import type { RayHttp } from './rayHttp';

/** How long the next bytes of a file may take. */
const WAIT_MS = 20_000;
/** Seconds between the node's looks at a file that grows. */
const FOLLOW_SECONDS = 0.2;
/** Seconds that the cluster takes at most for a whole file. */
const FILE_SECONDS = 6 * 3600;

/** A file in the logs of a node. */
export interface LogFile {
  readonly node: string;
  readonly name: string;
  /** Whether it is followed beyond its present end. */
  readonly grows: boolean;
}

/**
 * A file of a node that is read from its beginning. The API of Ray has no offsets, so what comes
 * before one is read and dropped; whoever reads on has the stream at the right place already.
 */
export class LogStream {
  private readonly controller = new AbortController();
  private rest: Buffer = Buffer.alloc(0);
  private ended = false;
  /** The offset of the next byte. */
  position = 0;

  private constructor(private readonly response: IncomingMessage) {
    response.on('end', () => (this.ended = true));
    // reading reports it
    response.on('error', () => undefined);
  }

  /** Null: there is no such file. @throws LoraError('target' | 'cancelled') */
  static async open(
    http: RayHttp,
    { node, name, grows }: LogFile,
    signal: AbortSignal,
  ): Promise<LogStream | null> {
    throwIfAborted(signal);
    const query = new URLSearchParams({
      node_id: node,
      filename: name,
      lines: '-1',
      timeout: String(FILE_SECONDS),
      ...(grows && { interval: String(FOLLOW_SECONDS) }),
    });
    const path = `api/v0/logs/${grows ? 'stream' : 'file'}?${query.toString()}`;
    const controller = new AbortController();
    const abort = () => controller.abort();
    const timer = setTimeout(abort, WAIT_MS);
    signal.addEventListener('abort', abort);
    try {
      const response = await http.open({ method: 'GET', path, signal: controller.signal });
      const stream = new LogStream(response);
      stream.controller.signal.addEventListener('abort', abort);
      if (response.statusCode === 200) return stream;
      return await stream.refused(http);
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof NodeLost) throw error;
      if (controller.signal.aborted) throw new TargetUnreachable(`${http.address} did not answer.`);
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  /** At most `bytes`; fewer at the end of the file. @throws LoraError('target' | 'cancelled') */
  async take(bytes: number, signal: AbortSignal): Promise<Buffer> {
    const chunks = [this.rest];
    let have = this.rest.length;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(WAIT_MS)]);
    try {
      while (have < bytes) {
        const chunk = this.response.read() as Buffer | null;
        if (chunk !== null) {
          chunks.push(chunk);
          have += chunk.length;
        } else if (this.ended) break;
        else await this.more(limit);
      }
    } catch (error) {
      this.close();
      throwIfAborted(signal);
      throw new TargetUnreachable('A file of the cluster did not arrive in time.', {
        cause: error,
      });
    }
    const all = Buffer.concat(chunks);
    this.rest = all.subarray(bytes);
    this.position += Math.min(bytes, all.length);
    return all.subarray(0, bytes);
  }

  /** What has arrived, at least one byte unless nothing comes for a while; null: the end. */
  async available(signal: AbortSignal): Promise<Buffer | null> {
    throwIfAborted(signal);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(WAIT_MS)]);
    let chunk = this.rest.length > 0 ? this.rest : (this.response.read() as Buffer | null);
    if (chunk === null && this.ended) return null;
    if (chunk === null) {
      await this.more(limit).catch((error: unknown) => {
        throwIfAborted(signal);
        if (!limit.aborted) throw error;
      });
      chunk = (this.response.read() as Buffer | null) ?? Buffer.alloc(0);
    }
    this.rest = Buffer.alloc(0);
    this.position += chunk.length;
    return chunk;
  }

  close(): void {
    this.controller.abort();
    this.response.destroy();
  }

  get isClosed(): boolean {
    return this.response.destroyed && !this.ended;
  }

  /** Until there is something to read, or the end. */
  private async more(signal: AbortSignal): Promise<void> {
    if (this.response.destroyed) throw new Error('the connection is closed');
    const either = new AbortController();
    const options = { signal: AbortSignal.any([signal, either.signal]) };
    try {
      await Promise.race(
        ['readable', 'end', 'close'].map((event) => once(this.response, event, options)),
      );
    } finally {
      either.abort();
    }
  }

  private async refused(http: RayHttp): Promise<null> {
    const body = await this.take(2 ** 16, AbortSignal.timeout(WAIT_MS));
    const status = this.response.statusCode ?? 0;
    this.close();
    // a missing file is an error of the cluster, whose text names it
    if (status === 500 && body.includes('file is not found')) return null;
    if (status === 500 && /node id|unavailable|not exist/i.test(body.toString()))
      throw new NodeLost();
    throw http.failed('A file cannot be read', { status, body, headers: this.response.headers });
  }
}

/** The node that has the files is not there any more. */
export class NodeLost extends LoraError {
  constructor() {
    super('target', 'The node that has the files of the run does not answer.', {
      fix: 'Resume the run (lora train --resume): it continues from its storage if it has one.',
    });
  }
}

/** Streams of files that are being read, the most recently used last. */
export class LogStreams {
  private readonly open = new Map<string, LogStream>();

  constructor(
    private readonly http: RayHttp,
    private readonly most = 16,
  ) {}

  /**
   * At most `bytes` from an offset; fewer at the end. `version`: of the content, so that a stream
   * of a replaced file is not read on.
   *
   * @throws LoraError('target' | 'cancelled')
   */
  async read(
    file: LogFile & { readonly version: string },
    { offset, bytes }: { readonly offset: number; readonly bytes: number },
    signal: AbortSignal,
  ): Promise<Buffer> {
    const key = JSON.stringify([file.node, file.name, file.version]);
    const known = this.open.get(key);
    this.open.delete(key);
    const isUsable = known !== undefined && known.position <= offset && !known.isClosed;
    if (!isUsable) known?.close();
    const stream = isUsable ? known : await LogStream.open(this.http, file, signal);
    if (stream === null) return Buffer.alloc(0);
    while (stream.position < offset) {
      const dropped = await stream.take(Math.min(offset - stream.position, 2 ** 20), signal);
      if (dropped.length === 0) break;
    }
    const content = stream.position === offset ? await stream.take(bytes, signal) : Buffer.alloc(0);
    this.keep(key, stream);
    return content;
  }

  dispose(): void {
    for (const stream of this.open.values()) stream.close();
    this.open.clear();
  }

  private keep(key: string, stream: LogStream): void {
    this.open.set(key, stream);
    for (const [oldest, old] of this.open) {
      if (this.open.size <= this.most) break;
      this.open.delete(oldest);
      old.close();
    }
  }
}
