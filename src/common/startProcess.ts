import {
  spawn,
  type ChildProcess,
  type ChildProcessByStdio,
  type SpawnOptions,
} from 'node:child_process';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { safeEnvironment, type Environment } from './programs';

export type { ChildProcess, ChildProcessByStdio } from 'node:child_process';

/** `env` is the whole environment, and `cwd` by default the folder of the program. */
export type ProcessOptions = Omit<SpawnOptions, 'shell' | 'env' | 'argv0'> & {
  readonly env: Environment;
};

/**
 * Starts a program by its full path, never through a shell. Nothing is looked up or loaded from the
 * working folder: environment entries that would do so are removed. `as` types the streams
 * by `stdio`.
 */
export function startProcess(
  program: string,
  args: readonly string[],
  options: ProcessOptions & { readonly stdio: ['pipe', 'pipe', 'pipe'] },
): ChildProcessByStdio<Writable, Readable, Readable>;
export function startProcess(
  program: string,
  args: readonly string[],
  options: ProcessOptions & { readonly stdio: ['ignore', 'pipe', 'pipe'] },
): ChildProcessByStdio<null, Readable, Readable>;
export function startProcess(
  program: string,
  args: readonly string[],
  options: ProcessOptions,
): ChildProcess;
export function startProcess(
  program: string,
  args: readonly string[],
  options: ProcessOptions,
): ChildProcess {
  if (!path.isAbsolute(program)) throw new Error(`${program} is not the full path of a program.`);
  return spawn(program, [...args], {
    windowsHide: true,
    ...options,
    cwd: options.cwd ?? path.dirname(program),
    env: safeEnvironment(options.env),
    shell: false,
  });
}

/**
 * What a program printed on standard output, and its exit code: null when a signal ended it.
 *
 * @throws the system's error when it cannot be started.
 */
export function outputOf(
  program: string,
  args: readonly string[],
  options: ProcessOptions,
): Promise<{ readonly exitCode: number | null; readonly stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = startProcess(program, args, {
      ...options,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let stdout = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, stdout }));
  });
}
