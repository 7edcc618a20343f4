import { throwIfCancelled } from '../common/cancellation';
import { findProgram, type Environment } from '../common/programs';
import { startProcess } from '../common/startProcess';

export type Env = Environment;

/** The message of the LoraError when an installation is cancelled. */
export const INSTALLATION_CANCELLED = 'The installation was cancelled.';

export interface ExecResult {
  /** The exit code, the signal that ended it, or 'missing' when there is no such program. */
  readonly exit: number | NodeJS.Signals | 'missing';
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  /** The whole environment; the program is looked up on its PATH. */
  readonly env: Env;
  /** By default the folder of the program. */
  readonly cwd?: string;
  /** When aborted, the program is killed. */
  readonly signal?: AbortSignal;
  /** In milliseconds; then the program is killed. */
  readonly timeout?: number;
  /** Called with what the program prints, as it comes. */
  readonly log?: (text: string) => void;
}

/**
 * Runs a program to its end.
 *
 * @throws LoraError('cancelled') when the signal is aborted.
 */
export async function exec(
  command: string,
  args: readonly string[],
  { log, ...options }: ExecOptions,
): Promise<ExecResult> {
  throwIfCancelled(options.signal, INSTALLATION_CANCELLED);
  const program = findProgram(command, options.env);
  if (program === null)
    return { exit: 'missing', stdout: '', stderr: `${command} is not on the PATH.` };
  const result = await new Promise<ExecResult>((resolve) => {
    const child = startProcess(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      killSignal: 'SIGKILL',
      ...options,
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text;
        log?.(text.trimEnd());
      });
    }
    child.on('error', (error) => {
      output.stderr += error.message;
    });
    child.on('close', (code, signal) => {
      const exit = child.pid === undefined ? 'missing' : (code ?? signal ?? 1);
      resolve({ exit, ...output });
    });
  });
  throwIfCancelled(options.signal, INSTALLATION_CANCELLED);
  return result;
}

/** The last lines of a program's output, for an error message. */
export const lastLines = (text: string, count = 5): string =>
  text.trim().split('\n').slice(-count).join('\n');
