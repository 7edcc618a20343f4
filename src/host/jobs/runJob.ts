import { spawn } from 'node:child_process';
import { LoraError, type SerializedError } from '../../shared/errors';
import { t } from '../text/l10n';

export interface JobCommand {
  /** A Node, or the editor's own executable, which ELECTRON_RUN_AS_NODE makes one. */
  readonly node: string;
  /** dist/cli.js */
  readonly cli: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly onProgress: (phase: string, fraction: number) => void;
  readonly onWarning: (message: string) => void;
}

type Line =
  | { readonly kind: 'progress'; readonly phase: string; readonly fraction: number }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'error'; readonly error: SerializedError }
  | { readonly kind: 'result' };

/** How long a job that was asked to end may take before it is ended. */
const GRACE_MS = 5_000;

/**
 * Runs a command of the engine to its end and gives its result. Errors: LoraError as the engine
 * says it; LoraError('cancelled') where the signal says so.
 */
export function runJob<R>({
  node,
  cli,
  args,
  env,
  signal,
  onProgress,
  onWarning,
}: JobCommand): Promise<R> {
  return new Promise<R>((resolve, reject) => {
    if (signal.aborted) {
      reject(cancelled());
      return;
    }
    const child = spawn(node, [cli, ...args, '--json'], {
      windowsHide: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env, ELECTRON_RUN_AS_NODE: '1' },
    });
    let [rest, said, result, failure]: [string, string, unknown, LoraError | null] = [
      '',
      '',
      undefined,
      null,
    ];
    let grace: NodeJS.Timeout | undefined;
    const stop = () => {
      child.kill('SIGINT');
      grace = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    };
    const hear = (text: string) => {
      const line = lineOf(text);
      if (line?.kind === 'progress') onProgress(line.phase, line.fraction);
      else if (line?.kind === 'warning') onWarning(line.message);
      else if (line?.kind === 'error') failure = LoraError.deserialize(line.error);
      else if (line) result = line;
    };
    signal.addEventListener('abort', stop, { once: true });
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      lines.forEach(hear);
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      said = (said + chunk).slice(-4000);
    });
    child.once('error', (cause) =>
      reject(
        new LoraError('engine', t('The job cannot be started: {0}', cause.message), {
          place: { file: node },
          cause,
        }),
      ),
    );
    child.once('close', (code) => {
      clearTimeout(grace);
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(cancelled());
      else if (code === 0 && result !== undefined) resolve(result as R);
      else
        reject(
          failure ??
            new LoraError(
              'engine',
              said.trim() ||
                t('The job ended with exit code {0} without any output.', String(code)),
            ),
        );
    });
  });
}

const cancelled = () => new LoraError('cancelled', t('The job was cancelled.'));

function lineOf(text: string): Line | null {
  try {
    const value = JSON.parse(text) as { readonly kind?: unknown };
    return ['progress', 'warning', 'error', 'result'].includes(String(value.kind))
      ? (value as Line)
      : null;
  } catch {
    return null;
  }
}
