/**
 * Lets one request through at a time: a newer one ends the older at once, and begins when that has
 * ended.
 */
export class RequestGate {
  private current: AbortController | null = null;
  private last: Promise<unknown> = Promise.resolve();

  /**
   * Does some work after a delay. Null: it was ended by `signal`, or by a newer request.
   *
   * @param work Gets a signal, which ends it.
   */
  async run<T>(
    signal: AbortSignal,
    delay: number,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | null> {
    this.current?.abort();
    const own = new AbortController();
    this.current = own;
    const either = AbortSignal.any([signal, own.signal]);
    const before = this.last;
    const done = this.begin(before, delay, { signal: either, work });
    this.last = done.catch(() => undefined);
    return done;
  }

  /** Ends the request at work. */
  end(): void {
    this.current?.abort();
  }

  private async begin<T>(
    before: Promise<unknown>,
    delay: number,
    {
      signal,
      work,
    }: { readonly signal: AbortSignal; readonly work: (signal: AbortSignal) => Promise<T> },
  ): Promise<T | null> {
    await Promise.all([before, passed(delay, signal)]);
    const isEnded = () => signal.aborted;
    if (isEnded()) return null;
    try {
      const result = await work(signal);
      return isEnded() ? null : result;
    } catch (error) {
      if (isEnded()) return null;
      throw error;
    }
  }
}

/** Resolves after some milliseconds, or when the signal is aborted. */
function passed(delay: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, delay);
    signal.addEventListener('abort', end);
  });
}
