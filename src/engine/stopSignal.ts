import { closeSync } from 'node:fs';

/** The exit code of a command that was stopped or cancelled before its end. */
export const EXIT_STOPPED = 130;

/** Requests to stop after which a process ends at once. */
export const REQUESTS_TO_END = 2;

/** Signals closer together are one request: npm passes on what the terminal sends as well. */
const SAME_REQUEST_MS = 1_000;

/**
 * The action that a signal requests: to stop, nothing new, patience, or to end the process at once.
 */
export type StopRequest = 'stop' | 'repeated' | 'again' | 'end';

/**
 * Tells requests to stop apart. The last of `requestsToEnd` requests ends the process at once.
 */
export class StopRequests {
  private count = 0;
  private last = -Infinity;

  constructor(private readonly requestsToEnd: number) {}

  /** A signal at the time `now` (ms). */
  receive(now: number): StopRequest {
    const isRepeated = now - this.last < SAME_REQUEST_MS;
    this.last = now;
    if (isRepeated) return 'repeated';
    this.count++;
    if (this.count === 1) return 'stop';
    return this.count < this.requestsToEnd ? 'again' : 'end';
  }
}

/** SIGHUP: the terminal was closed; on Windows, its window. */
const SIGNALS: readonly NodeJS.Signals[] =
  process.platform === 'win32'
    ? ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']
    : ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Aborted by the first signal that asks this process to stop. */
export interface StopSignal {
  readonly signal: AbortSignal;
  /** Gives the signals their usual meaning again. */
  readonly release: () => void;
}

/**
 * Listens to the signals that ask this process to stop. `say` shows how to end it at once.
 *
 * @param requestsToEnd How many requests end the process at once, whatever it is doing.
 */
export function listenToStopSignals(
  requestsToEnd: number,
  say: (text: string) => void,
): StopSignal {
  const controller = new AbortController();
  const requests = new StopRequests(requestsToEnd);
  const receive = () => {
    const request = requests.receive(performance.now());
    if (request === 'stop') controller.abort();
    if (request === 'again')
      say('Still stopping, to save what was trained. Interrupt again to end without saving.');
    if (request === 'end') process.exit(EXIT_STOPPED);
  };
  for (const name of SIGNALS) process.on(name, receive);
  if (process.platform !== 'win32') process.once('SIGHUP', closeTerminalAtExit);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of SIGNALS) process.off(name, receive);
    },
  };
}

/**
 * Node restores the terminal's settings when it exits, and aborts where that fails because the
 * terminal is gone. It leaves file descriptors alone that are closed.
 */
function closeTerminalAtExit(): void {
  process.once('exit', () => {
    for (const descriptor of [0, 1, 2]) {
      try {
        closeSync(descriptor);
      } catch {
        // closed already
      }
    }
  });
}
