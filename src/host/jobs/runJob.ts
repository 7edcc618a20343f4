import { startProcess, type ChildProcess } from '../../common/startProcess';
import { hostEnvironment } from '../engine/hostEnvironment';
import { describeEnding, type ProcessEnding } from '../engine/processEnding';
import { messageSplitter } from '../../common/lineSplitter';
import { throwIfCancelled } from '../../common/cancellation';
import { clearUnfinished } from '../../common/unfinished';
import { LoraError, type SerializedError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { t } from '../text/l10n';

/** A command of the engine to run, and the receiver of its progress. */
export interface JobCommand {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Cancels the job. */
  readonly signal: AbortSignal;
  /** `fraction`: from 0 to 1 within the phase. */
  readonly onProgress: (phase: string, fraction: number) => void;
  readonly onWarning: (message: string) => void;
  /** Is told what a command says besides: lines of other kinds. */
  readonly onLine?: (line: Readonly<Record<string, unknown>>) => void;
}

/** A line that the engine writes with --json. */
type JobLine =
  | { readonly kind: 'progress'; readonly phase: string; readonly fraction: number }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'error'; readonly error: SerializedError }
  | { readonly kind: 'result' };

/** How long a cancelled job may take to end before it is killed. */
const GRACE_MS = 1_500;
/** A tune stops its trainings first, which save what they have. */
const GRACE_OF_TUNE_MS = 20_000;
const MAX_STDERR_CHARACTERS = 4_000;

/**
 * Runs a command of the engine to its end and returns its result.
 *
 * @throws LoraError as the engine reports it; LoraError('cancelled') when `signal` is aborted;
 *   LoraError('engine') when the process cannot be started or ends without a result.
 */
export async function runJob<R>(command: JobCommand): Promise<R> {
  const { node, cli, args, env, signal } = command;
  const message = t('The job was cancelled.');
  throwIfCancelled(signal, message);
  const child = startProcess(node, [cli, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...hostEnvironment(), ...env, ELECTRON_RUN_AS_NODE: '1' },
  });
  const output = new JobOutput(command);
  child.stdout.on('data', (chunk: Buffer) => output.lines.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => output.addStderr(chunk));
  const ending = await untilClosed(child, command);
  if (ending.signal === 'SIGKILL') await clearOutput(args);
  throwIfCancelled(signal, message);
  // a result that reports problems comes with an exit code of its own
  if (output.result === undefined) throw output.error(ending);
  return output.result as R;
}

/** A job that was killed could not remove what it had begun to write. */
async function clearOutput(args: readonly string[]): Promise<void> {
  const output = args[args.indexOf('--output') + 1];
  if (args.includes('--output') && output !== undefined) await clearUnfinished(output);
}

type Closed = Omit<ProcessEnding, 'stderr'>;

/** Interprets what a job writes. */
class JobOutput {
  /** The result line; undefined until it was written. */
  result: unknown;
  /** Receives standard output. */
  readonly lines = messageSplitter((line) => this.addLine(line));
  private failure: LoraError | undefined;
  private stderr = '';

  constructor(
    private readonly listeners: Pick<JobCommand, 'onProgress' | 'onWarning' | 'onLine'>,
  ) {}

  addStderr(chunk: string): void {
    this.stderr = (this.stderr + chunk).slice(-MAX_STDERR_CHARACTERS);
  }

  /** Why the job failed: the engine's own error, else how its process ended. */
  error(ending: Closed): LoraError {
    return (
      this.failure ?? new LoraError('engine', describeEnding({ ...ending, stderr: this.stderr }))
    );
  }

  private addLine(text: string): void {
    const line = parseLine(text);
    switch (line?.kind) {
      case 'progress':
        this.listeners.onProgress(line.phase, line.fraction);
        break;
      case 'warning':
        this.listeners.onWarning(line.message);
        break;
      case 'error':
        this.failure = LoraError.deserialize(line.error);
        break;
      case 'result':
        this.result = line;
        break;
      case undefined:
        this.addOther(text);
        break;
    }
  }

  private addOther(text: string): void {
    if (!this.listeners.onLine) return;
    try {
      const value: unknown = JSON.parse(text);
      if (isObject(value)) this.listeners.onLine(value);
    } catch {
      // no line for programs
    }
  }
}

/**
 * Waits for the end of the process, which an abort of the signal interrupts.
 */
function untilClosed(child: ChildProcess, { node, args, signal }: JobCommand): Promise<Closed> {
  return new Promise((resolve, reject) => {
    let grace: NodeJS.Timeout | undefined;
    const interrupt = () => {
      child.kill('SIGINT');
      grace = setTimeout(() => child.kill('SIGKILL'), graceOf(args));
    };
    signal.addEventListener('abort', interrupt, { once: true });
    child.once('error', (cause) => {
      const message = t('The job cannot be started: {0}', cause.message);
      reject(new LoraError('engine', message, { place: { file: node }, cause }));
    });
    child.once('close', (code, ended) => {
      clearTimeout(grace);
      signal.removeEventListener('abort', interrupt);
      resolve({ code, signal: ended });
    });
  });
}

const graceOf = ([command]: readonly string[]): number =>
  command === 'tune' ? GRACE_OF_TUNE_MS : GRACE_MS;

/** Null for any other line. */
function parseLine(text: string): JobLine | null {
  try {
    const value = JSON.parse(text) as { readonly kind?: unknown };
    return ['progress', 'warning', 'error', 'result'].includes(String(value.kind))
      ? (value as JobLine)
      : null;
  } catch {
    return null;
  }
}
