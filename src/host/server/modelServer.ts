import { randomBytes } from 'node:crypto';
import { throwIfCancelled } from '../../common/cancellation';
import type { Environment } from '../../common/programs';
import type { Disposable } from '../../common/signal';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { HttpServer, type ServerAddress } from './httpServer';

/** How the server is started. */
export interface ModelServerOptions {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  /** The whole environment; undefined: the user declined to install a runtime. */
  readonly env: () => Promise<Environment | undefined>;
  /** Called when a model is loaded, until `loaded` settles. */
  readonly onLoad: (loaded: Promise<unknown>) => void;
  /** Seconds without a request after which it is ended. */
  readonly idleSeconds?: number;
}

/** The model that answers: a base, alone or with an adapter. */
export interface ServedSubject {
  readonly base: string;
  readonly adapter: string | null;
}

/** Where requests are sent, and the name of the model. */
export interface Endpoint {
  readonly url: string;
  readonly token: string;
  readonly model: string;
}

interface Running extends ServerAddress {
  readonly server: HttpServer;
  readonly base: string;
  readonly adapters: readonly string[];
  readonly token: string;
  hasEnded: boolean;
}

const IDLE_SECONDS = 600;

/**
 * The process that answers for the editor: one for the window, with one base and the adapters that
 * were asked for. It is started by the first request, replaced when another base or adapter is
 * asked for and no request is at work, and ended when there was none for a while, or with the
 * window.
 */
export class ModelServer implements Disposable {
  private running: Running | null = null;
  private last: Promise<unknown> = Promise.resolve();
  private readonly atWork = new Set<Promise<unknown>>();
  private idle: NodeJS.Timeout | undefined;
  private readonly closed = new AbortController();

  constructor(private readonly options: ModelServerOptions) {}

  /**
   * Does some work with a model. A signal that is aborted ends the waiting at once, not the loading
   * of the model.
   *
   * @throws LoraError also when the process ends, or `signal` is aborted.
   */
  async use<T>(
    subject: ServedSubject,
    signal: AbortSignal,
    work: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    const either = AbortSignal.any([signal, this.closed.signal]);
    const turn = this.last.then(() => {
      throwIfCancelled(either, cancelled());
      return this.begin(subject, either, work);
    });
    this.last = turn.catch(() => undefined);
    const { done } = await orAborted(turn, either);
    return done;
  }

  dispose(): void {
    this.closed.abort();
    this.end();
  }

  /** Starts the work; it continues while others are begun. */
  private async begin<T>(
    subject: ServedSubject,
    signal: AbortSignal,
    work: (endpoint: Endpoint) => Promise<T>,
  ): Promise<{ readonly done: Promise<T> }> {
    clearTimeout(this.idle);
    try {
      const running = await this.runningFor(subject);
      throwIfCancelled(signal, cancelled());
      const done = work(endpointOf(running, subject));
      this.follow(done);
      return { done };
    } finally {
      this.endWhenIdle();
    }
  }

  private follow(work: Promise<unknown>): void {
    const settled = work.catch(() => undefined);
    this.atWork.add(settled);
    void settled.then(() => {
      this.atWork.delete(settled);
      this.endWhenIdle();
    });
  }

  private async runningFor(subject: ServedSubject): Promise<Running> {
    const { running } = this;
    const isSame = running?.hasEnded === false && running.base === subject.base;
    const adapters = isSame ? running.adapters : [];
    if (isSame && (subject.adapter === null || adapters.includes(subject.adapter))) return running;
    await Promise.all(this.atWork);
    this.end();
    const own = subject.adapter === null ? adapters : [...adapters, subject.adapter];
    const loaded = this.start(subject.base, own);
    this.options.onLoad(loaded.catch(() => undefined));
    return loaded;
  }

  private async start(base: string, adapters: readonly string[]): Promise<Running> {
    const env = await this.options.env();
    if (!env) throw new LoraError('runtime', t('A runtime must be installed first.'));
    throwIfCancelled(this.closed.signal, cancelled());
    const { node, cli } = this.options;
    const token = randomBytes(24).toString('base64url');
    const server = new HttpServer({
      node,
      cli,
      base,
      adapters,
      env: { ...env, LORA_SERVE_TOKEN: token },
      onProgress: () => undefined,
    });
    const stop = () => server.dispose();
    this.closed.signal.addEventListener('abort', stop);
    try {
      const address = await server.ready;
      const running: Running = { ...address, server, base, adapters, token, hasEnded: false };
      void server.ended.then(() => (running.hasEnded = true));
      return (this.running = running);
    } finally {
      this.closed.signal.removeEventListener('abort', stop);
    }
  }

  private end(): void {
    this.running?.server.dispose();
    this.running = null;
  }

  private endWhenIdle(): void {
    clearTimeout(this.idle);
    if (this.atWork.size > 0) return;
    this.idle = setTimeout(
      () => this.atWork.size === 0 && this.end(),
      1000 * (this.options.idleSeconds ?? IDLE_SECONDS),
    );
    this.idle.unref();
  }
}

const cancelled = (): string => t('The request was cancelled.');

/** The models of the server stand in the order of the adapters, after the base. */
function endpointOf(
  { url, token, models, adapters }: Running,
  { adapter }: ServedSubject,
): Endpoint {
  const index = adapter === null ? 0 : 1 + adapters.indexOf(adapter);
  return { url, token, model: models[index]! };
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new LoraError('cancelled', cancelled()));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
