import { throwIfCancelled } from '../../common/cancellation';
import { messageSplitter } from '../../common/lineSplitter';
import type { Environment } from '../../common/programs';
import { startProcess, type ChildProcess } from '../../common/startProcess';
import { LoraError, type SerializedError } from '../../shared/errors';
import { isObject } from '../../shared/values';

/** A command of this command line, to be run in a separate process. */
export interface ChildCommand {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  /** What follows `lora`. */
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Environment;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** `fraction`: from 0 to 1 within the phase. */
  readonly onProgress: (phase: string, fraction: number) => void;
}

type Message = Readonly<Record<string, unknown>>;

/** The end of standard error, which says why a process ended without a result. */
const KEPT_CHARACTERS = 2_000;
/** How long a cancelled command may take to end. */
const GRACE_MS = 2_000;
const CANCELLED = 'The call was cancelled.';

/**
 * Runs a command to its end, and returns its result.
 *
 * @throws LoraError as the command does; 'cancelled' when the signal is aborted
 */
export async function resultOf(command: ChildCommand): Promise<Message> {
  const { cli, args, env, signal } = command;
  throwIfCancelled(signal, CANCELLED);
  const child = startProcess(process.execPath, [cli, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  const said = { result: null as Message | null, failure: null as LoraError | null, errors: '' };
  const lines = messageSplitter((line) => {
    const message = messageIn(line);
    if (message['kind'] === 'result') said.result = message;
    if (message['kind'] === 'error')
      said.failure = LoraError.deserialize(message['error'] as SerializedError);
    if (message['kind'] === 'progress')
      command.onProgress(String(message['phase']), Number(message['fraction']));
  });
  child.stdout.on('data', (chunk: Buffer) => lines.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.errors = (said.errors + text).slice(-KEPT_CHARACTERS);
  });
  await untilClosed(child, signal);
  throwIfCancelled(signal, CANCELLED);
  if (said.result) return said.result;
  throw said.failure ?? new LoraError('engine', said.errors.trim() || `lora ${args[0]!} ended.`);
}

async function untilClosed(child: ChildProcess, signal: AbortSignal): Promise<void> {
  let grace: NodeJS.Timeout | undefined;
  const kill = () => child.kill('SIGKILL');
  const stop = () => {
    child.kill('SIGTERM');
    grace = setTimeout(kill, GRACE_MS);
  };
  signal.addEventListener('abort', stop, { once: true });
  process.on('exit', kill);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve());
    });
  } finally {
    clearTimeout(grace);
    signal.removeEventListener('abort', stop);
    process.off('exit', kill);
  }
}

/** Nothing for a line that is no message. */
function messageIn(line: string): Message {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
