import path from 'node:path';
import { messageSplitter } from '../../common/lineSplitter';
import { startProcess } from '../../common/startProcess';
import { isObject } from '../../shared/values';
import { LoraError, type SerializedError } from '../../shared/errors';
import { asMetricLine } from '../../shared/metrics/parse';
import type { MetricLine } from '../../shared/metrics/lines';

/** How a training process is started, and the receivers of its events. */
export interface TrainingOptions {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  /** What follows `lora`: train or attach, and its arguments. */
  readonly args: readonly string[];
  /** Tells the process to stop: it saves what it has, and ends. */
  readonly signal: AbortSignal;
  readonly onMetric: (line: MetricLine) => void;
  readonly onWarning: (message: string) => void;
}

/** The end of standard error, which says why a process ended without a result. */
const KEPT_CHARACTERS = 2_000;

/**
 * Runs training in a separate process, to its end. In a terminal it gets the signals of the
 * keyboard itself; those that this process alone gets are passed on.
 *
 * @throws LoraError when the process ends without a result
 */
export async function runTraining(options: TrainingOptions): Promise<void> {
  const { cli, args, signal } = options;
  const child = startProcess(process.execPath, [cli, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: process.env,
    cwd: process.cwd(),
  });
  const said = { failure: null as LoraError | null, hasResult: false, errors: '' };
  const lines = messageSplitter((line) => {
    const message = asMessage(line);
    if (message?.['kind'] === 'result') said.hasResult = true;
    if (message?.['kind'] === 'error')
      said.failure = LoraError.deserialize(message['error'] as SerializedError);
    passOn(message, options);
  });
  child.stdout.on('data', (chunk: Buffer) => lines.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.errors = (said.errors + text).slice(-KEPT_CHARACTERS);
  });
  const stop = () => stopProcess(child);
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', stop);
  process.on('exit', kill);
  try {
    if (signal.aborted) stop();
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve());
    });
  } finally {
    signal.removeEventListener('abort', stop);
    process.off('exit', kill);
  }
  if (said.failure) throw said.failure;
  if (!said.hasResult)
    throw new LoraError(
      'engine',
      said.errors.trim() || `lora ${args[0]!} ${path.basename(args[1]!)} ended.`,
    );
}

/** On Windows a signal ends a process at once; there the console tells it to stop. */
function stopProcess(child: { kill(signal: NodeJS.Signals): boolean }): void {
  if (process.platform !== 'win32') child.kill('SIGINT');
}

function asMessage(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function passOn(
  message: Record<string, unknown> | null,
  { onMetric, onWarning }: TrainingOptions,
): void {
  if (message?.['kind'] === 'warning') onWarning(String(message['message']));
  const metric = asMetricLine(message);
  if (metric) onMetric(metric);
}
