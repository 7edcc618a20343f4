import { setTimeout as wait } from 'node:timers/promises';
import { LoraError } from '../../shared/errors';
import { cancelled } from '../../targets/targetError';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

interface RetryHooks {
  /** Of the first failure, and of each other one. */
  readonly onLost: (error: LoraError) => void;
  readonly onBack: () => void;
}

/** Repeats work on a target until it can be reached again, with longer and longer pauses. */
export class Retries {
  constructor(private readonly hooks: RetryHooks) {}

  /**
   * @throws LoraError('cancelled') when the signal is aborted; errors that are not of the target at
   *   once
   */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    let lost: string | null = null;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, 2 * pause)) {
      try {
        const result = await work();
        if (lost !== null) this.hooks.onBack();
        return result;
      } catch (error) {
        if (signal.aborted) throw cancelled();
        if (!(error instanceof LoraError) || error.area !== 'target') throw error;
        if (error.message !== lost) this.hooks.onLost(error);
        lost = error.message;
      }
      await wait(pause, undefined, { signal }).catch(() => {
        throw cancelled();
      });
    }
  }
}
