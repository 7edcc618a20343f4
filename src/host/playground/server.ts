import type { Readable, Writable } from 'node:stream';
import { messageSplitter } from '../../common/lineSplitter';
import { startProcess, type ChildProcessByStdio } from '../../common/startProcess';
import { LoraError } from '../../shared/errors';
import type { ServeEvent, ServeRequest } from '../../shared/serveProtocol';
import { isObject } from '../../shared/values';
import { hostEnvironment } from '../engine/hostEnvironment';
import { describeEnding } from '../engine/processEnding';
import { t } from '../text/l10n';

/** How to start a server. */
export interface ServerCommand {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly base: string;
  readonly adapters: readonly string[];
  /** Folder of the run whose rows can be asked for; null: none. */
  readonly run: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onEvent: (event: ServeEvent) => void;
}

/** How long the process may take to end by itself. */
const GRACE_MS = 1_500;

/**
 * A process of the engine that keeps a base model and its adapters in memory. It ends with
 * `dispose`, and with this window.
 */
export class Server {
  private readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  private disposed = false;
  private failed = false;

  constructor({ node, cli, base, adapters, run, env, onEvent }: ServerCommand) {
    const args = [
      'serve',
      '--base',
      base,
      ...adapters.flatMap((adapter) => ['--adapter', adapter]),
      ...(run === null ? [] : ['--run', run]),
      '--json',
    ];
    this.child = startProcess(node, [cli, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...hostEnvironment(), ...env, ELECTRON_RUN_AS_NODE: '1' },
    });
    const emit = (event: ServeEvent) => {
      this.failed ||= event.kind === 'error' && event.id === null;
      if (!this.disposed) onEvent(event);
    };
    let stderr = '';
    this.child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-4000);
    });
    const lines = messageSplitter((line) => {
      const event = asServeEvent(line);
      if (event) emit(event);
    });
    this.child.stdout.on('data', (chunk: Buffer) => lines.push(chunk));
    this.child.stdin.on('error', () => undefined); // the process has ended, which is reported below
    const fail = (message: string, cause?: Error) => {
      if (!this.failed)
        emit({
          kind: 'error',
          id: null,
          error: new LoraError('engine', message, cause && { cause }).serialize(),
        });
    };
    this.child.once('error', (cause) =>
      fail(t('The model cannot be started: {0}', cause.message), cause),
    );
    this.child.once('close', (code, signal) => fail(describeEnding({ code, signal, stderr })));
  }

  /** Sends a request; ignored once the process has ended. */
  send(request: ServeRequest): void {
    if (this.child.stdin.writable) this.child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  dispose(): void {
    this.disposed = true;
    this.child.stdin.end();
    const grace = setTimeout(() => this.child.kill('SIGKILL'), GRACE_MS);
    grace.unref();
    this.child.once('close', () => clearTimeout(grace));
  }
}

/** Null for a line that is not a message, such as one that a library has printed. */
function asServeEvent(line: string): ServeEvent | null {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) && typeof value['kind'] === 'string' ? (value as ServeEvent) : null;
  } catch {
    return null;
  }
}
