import { spawn } from 'node:child_process';
import { LoraError } from '../shared/errors';

export interface ExecResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly log?: (line: string) => void;
}

/** Runs a program to its end. A program that is not there gives code null. Errors: LoraError('cancelled') when aborted. */
export async function exec(command: string, args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const result = await new Promise<ExecResult>((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env }, ...(options.signal && { signal: options.signal }) });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; options.log?.(text.trimEnd()); });
    child.on('error', (error) => { stderr += error.message; });
    child.on('close', (code) => resolve({ code: child.pid === undefined ? null : code, stdout, stderr }));
  });
  if (options.signal?.aborted) throw new LoraError('cancelled', 'The installation was cancelled.');
  return result;
}

/** The last lines of a program's output, for an error message. */
export const lastLines = (text: string, count = 5): string => text.trim().split('\n').slice(-count).join('\n');
