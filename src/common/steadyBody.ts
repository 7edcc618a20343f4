/** The slowest allowed server: it must send this many bytes in each period. */
export interface Patience {
  readonly milliseconds: number;
  readonly bytes: number;
}

/** About 1 kB/s: a slower server only keeps the connection open. */
export const USUAL_PATIENCE: Patience = { milliseconds: 60_000, bytes: 2 ** 16 };

/** Thrown when a server sends nothing or next to nothing. The message follows a colon. */
export class Stalled extends Error {
  constructor({ milliseconds }: Patience, received: number) {
    const seconds = Math.ceil(milliseconds / 1000);
    super(`it sent ${received === 0 ? 'nothing' : `only ${received} bytes`} in ${seconds} s`);
  }
}

/**
 * The chunks of a body; the connection is closed when it stalls.
 *
 * @throws Stalled, or the error of the connection.
 */
export async function* steadyBody(
  body: ReadableStream<Uint8Array>,
  patience: Patience,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  const cancel = () => reader.cancel().catch(() => undefined);
  let received = 0;
  let isWaiting = false;
  let stalled: Stalled | undefined;
  const timer = setInterval(() => {
    // a slow disk is not the server's fault
    if (isWaiting && received < patience.bytes) {
      stalled = new Stalled(patience, received);
      void cancel(); // ends the read
    }
    received = 0;
  }, patience.milliseconds);
  try {
    for (;;) {
      isWaiting = true;
      const { value } = await reader.read();
      isWaiting = false;
      if (stalled !== undefined) throw stalled;
      if (value === undefined) return;
      received += value.length;
      yield value;
    }
  } finally {
    clearInterval(timer);
    await cancel();
  }
}

/**
 * Starts work that a signal ends, including when it takes too long.
 *
 * @throws Stalled, or the error of the work.
 */
export async function inPatience<T>(
  patience: Patience,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Stalled(patience, 0)), patience.milliseconds);
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
