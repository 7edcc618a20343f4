import { Transform, type Duplex } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import * as v from 'valibot';
import {
  createMessageConnection,
  StreamMessageWriter,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { messageReader } from '../../common/messageReader';
import { LoraError, type SerializedError } from '../../shared/errors';
import type {
  EngineNotifications,
  EngineRequestName,
  EngineRequests,
} from '../../shared/engineProtocol';
import { isInRun } from '../../shared/run';
import { isObject } from '../../shared/values';
import type { JobHandle, Target } from '../../targets/target';

const MAX_TEXT = 1_000_000;
/** More bytes without a message are none of an engine. */
const MAX_MESSAGE_BYTES = 64 * 2 ** 20;
/** How long after a failed attempt the next one may be. */
const RETRY_MS = 3_000;
const REQUEST_MS = 600_000;
/** How long a request waits until the engine there opens its pipe, and between its attempts. */
const OPENS_MS = 20_000;
const ATTEMPT_MS = 250;

const text = v.pipe(v.string(), v.maxLength(MAX_TEXT));
const number = v.pipe(v.number(), v.finite());
const STATES = ['preparing', 'running', 'paused', 'stopped', 'completed', 'failed'] as const;

const StatusSchema = v.object({
  state: v.picklist(STATES),
  step: number,
  total_steps: v.nullable(number),
  seconds_left: v.nullable(number),
  device_memory: v.exactOptional(v.nullable(v.object({ used: number, total: number }))),
});
const ProgressSchema = v.object({
  phase: v.picklist([
    'reading data',
    'loading model',
    'training',
    'reference',
    'evaluating',
    'sampling',
    'saving',
  ]),
  fraction: v.nullable(number),
});
const LogSchema = v.object({ level: v.picklist(['info', 'warn', 'error']), message: text });

/** What the engine there answers, by request; `status` and the like give its status. */
const ANSWERS = {
  checkpoint: v.object({ path: v.pipe(text, v.check(isInRun)) }),
  generate: v.object({ text }),
} as const;

/** The status of an engine, without the error, which the folder has. */
export type RemoteStatus = v.InferOutput<typeof StatusSchema>;

/** The receivers of events of the remote engine. */
export interface PipeListener {
  readonly onStatus: (status: RemoteStatus) => void;
  readonly onProgress: (progress: EngineNotifications['progress']) => void;
  readonly onLog: (log: EngineNotifications['log']) => void;
  /** Something was written to the folder there. */
  readonly onMetric: () => void;
}

/** The pipe of the engine on a target, opened again when it was lost. */
export class RemotePipe {
  private connection: MessageConnection | null = null;
  private stream: Duplex | null = null;
  /** An attempt to connect that is under way: whether the target could be reached. */
  private attempt: Promise<boolean> | null = null;
  private nextAttempt = 0;
  private readonly disposed = new AbortController();

  constructor(
    private readonly target: Pick<Target, 'name' | 'connect'>,
    private readonly handle: JobHandle,
    private readonly listener: PipeListener,
  ) {}

  /** Connects unless connected, connecting, or refused a moment ago. Never rejects. */
  async connect(): Promise<void> {
    if (this.connection || this.attempt || performance.now() < this.nextAttempt) return;
    await this.attempted();
  }

  /**
   * Passes a request on. One that comes before the connection does waits for it.
   *
   * @throws NotReached when the engine cannot be reached; LoraError('engine'): its own refusal
   */
  async request<N extends EngineRequestName>(
    name: N,
    params: EngineRequests[N]['params'],
  ): Promise<unknown> {
    const connection = this.connection ?? (await this.opened());
    try {
      const answer = connection.sendRequest<unknown>(name, params);
      return await withLimit(answer, REQUEST_MS);
    } catch (error) {
      throw refusalOf(error, this.target.name);
    }
  }

  dispose(): void {
    this.disposed.abort();
    this.close();
  }

  /** @throws NotReached */
  private async opened(): Promise<MessageConnection> {
    const end = performance.now() + OPENS_MS;
    const { signal } = this.disposed;
    while (!signal.aborted && performance.now() < end) {
      const isReached = await this.attempted();
      if (this.connection) return this.connection;
      if (!isReached) break;
      await wait(ATTEMPT_MS, undefined, { signal }).catch(() => undefined);
    }
    throw new NotReached(this.target.name);
  }

  /** Connects once, even for calls made meanwhile. Whether the target could be reached. */
  private attempted(): Promise<boolean> {
    this.attempt ??= this.tryToConnect().finally(() => {
      this.attempt = null;
      this.nextAttempt = performance.now() + RETRY_MS;
    });
    return this.attempt;
  }

  private async tryToConnect(): Promise<boolean> {
    const { signal } = this.disposed;
    try {
      const stream = await this.target.connect(this.handle, signal);
      if (stream === null || signal.aborted) stream?.destroy();
      else this.open(stream);
      return true;
    } catch {
      // the folder is followed meanwhile
      return false;
    }
  }

  private close(): void {
    this.connection?.dispose();
    this.connection = null;
    this.stream?.destroy();
    this.stream = null;
  }

  private open(stream: Duplex): void {
    const guard = new SilenceGuard();
    const connection = createMessageConnection(
      messageReader(stream.pipe(guard)),
      new StreamMessageWriter(stream),
    );
    const close = () => {
      if (this.connection === connection) this.close();
    };
    stream.on('error', close).on('close', close);
    guard.on('error', close);
    connection.onError(close);
    connection.onClose(close);
    this.listen(connection, guard);
    connection.listen();
    this.connection = connection;
    this.stream = stream;
    connection.sendRequest<unknown>('status').then((status) => this.tellStatus(status), close);
  }

  private listen(connection: MessageConnection, guard: SilenceGuard): void {
    const on = (name: string, take: (value: unknown) => void) =>
      connection.onNotification(name, (value: unknown) => {
        guard.heard();
        take(value);
      });
    on('metric', () => this.listener.onMetric());
    on('status', (value) => this.tellStatus(value));
    on('progress', (value) => {
      const progress = v.safeParse(ProgressSchema, value);
      if (progress.success) this.listener.onProgress(progress.output);
    });
    on('log', (value) => {
      const log = v.safeParse(LogSchema, value);
      if (log.success) this.listener.onLog(log.output);
    });
  }

  private tellStatus(value: unknown): void {
    const status = v.safeParse(StatusSchema, value);
    if (status.success) this.listener.onStatus(status.output);
  }
}

/** The engine on a target, or the target, cannot be reached: nothing was passed on. */
export class NotReached extends LoraError {
  constructor(name: string) {
    super('engine', `The engine on ${name} cannot be reached now.`, {
      fix: 'Try again when the connection is back.',
    });
  }
}

/** Ends a stream that sends without end and never a message. */
class SilenceGuard extends Transform {
  private bytes = 0;

  heard(): void {
    this.bytes = 0;
  }

  override _transform(
    chunk: Buffer,
    _encoding: string,
    done: (error: Error | null, chunk?: Buffer) => void,
  ): void {
    this.bytes += chunk.length;
    if (this.bytes > MAX_MESSAGE_BYTES) done(new Error('The engine sends no messages.'));
    else done(null, chunk);
  }
}

/** An answer of the engine there. @throws LoraError('engine') when it is not one */
export function checkedAnswer<N extends keyof typeof ANSWERS>(
  name: N,
  value: unknown,
): EngineRequests[N]['result'] {
  const answer = v.safeParse(ANSWERS[name], value);
  if (answer.success) return answer.output;
  throw new LoraError('engine', 'The engine there gives an answer that is not valid.');
}

async function withLimit<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), ms);
  });
  return Promise.race([work, limit]).finally(() => clearTimeout(timer));
}

function refusalOf(error: unknown, name: string): LoraError {
  const data: unknown = error instanceof Error && 'data' in error ? error.data : null;
  if (isObject(data) && typeof data['area'] === 'string' && typeof data['message'] === 'string')
    return LoraError.deserialize({
      area: 'engine',
      message: data['message'].slice(0, MAX_TEXT),
    } satisfies SerializedError);
  return new LoraError('engine', `The engine on ${name} does not answer.`, { cause: error });
}
