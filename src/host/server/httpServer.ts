import { messageSplitter } from '../../common/lineSplitter';
import { startProcess, type ChildProcessByStdio } from '../../common/startProcess';
import type { Readable, Writable } from 'node:stream';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { describeEnding } from '../engine/processEnding';
import { t } from '../text/l10n';

/** How to start a server. */
export interface HttpServerCommand {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly base: string;
  readonly adapters: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** From 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/** Where a server is, and what it offers. */
export interface ServerAddress {
  readonly url: string;
  readonly models: readonly string[];
}

/** How long the process may take to end by itself. */
const GRACE_MS = 3_000;

/** `lora serve --http` on a free port of this machine. It ends with `dispose` and the window. */
export class HttpServer {
  /** Resolves when requests are answered. @throws LoraError when the process ends before. */
  readonly ready: Promise<ServerAddress>;
  /** Resolves at the end of the process, with an error unless it was asked for. */
  readonly ended: Promise<LoraError | null>;
  private readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  private disposed = false;

  constructor({ node, cli, base, adapters, env, onProgress }: HttpServerCommand) {
    const own = adapters.flatMap((adapter) => ['--adapter', adapter]);
    const args = ['serve', '--http', '--end-with-input', '--port', '0', '--base', base, ...own];
    this.child = startProcess(node, [cli, ...args, '--json'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...env, ELECTRON_RUN_AS_NODE: '1' },
    });
    let stderr = '';
    this.child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-4000);
    });
    this.child.stdin.on('error', () => undefined); // the process has ended, which is told below
    this.ended = new Promise((resolve) => {
      const fail = (message: string) =>
        resolve(this.disposed ? null : new LoraError('engine', message));
      this.child.once('error', ({ message }) =>
        fail(t('The model cannot be started: {0}', message)),
      );
      this.child.once('close', (code, signal) => fail(describeEnding({ code, signal, stderr })));
    });
    this.ready = new Promise((resolve, reject) => {
      const lines = messageSplitter((line) => {
        const { kind, fraction, url, models } = messageIn(line);
        if (kind === 'progress' && typeof fraction === 'number') onProgress(fraction);
        if (kind === 'ready' && typeof url === 'string' && Array.isArray(models))
          resolve({ url, models: models.map(String) });
      });
      this.child.stdout.on('data', (chunk: Buffer) => lines.push(chunk));
      void this.ended.then((error) => reject(error ?? new LoraError('cancelled', t('Stopped'))));
    });
    this.ready.catch(() => undefined);
  }

  dispose(): void {
    this.disposed = true;
    this.child.stdin.end();
    const grace = setTimeout(() => this.child.kill('SIGKILL'), GRACE_MS);
    grace.unref();
    this.child.once('close', () => clearTimeout(grace));
  }
}

/** Nothing for a line that is no message, such as one that a library has printed. */
function messageIn(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
