import { setImmediate } from 'node:timers/promises';
import { LoraError, type SerializedError } from '../../shared/errors';
import type { DataJobKind } from '../../shared/pages/data/protocol';
import type { DataResult } from './questions';

/** A job that runs while other questions are answered. */
export interface JobControl {
  readonly signal: AbortSignal;
  /** From 0 to 1. */
  readonly report: (done: number) => void;
  /** Lets other questions be answered. @throws LoraError('cancelled') */
  readonly pause: () => Promise<void>;
}

interface Running {
  readonly stop: AbortController;
  done: number;
}

/** How a job ended that has something to say. */
export type JobEnd =
  | { readonly kind: 'failed'; readonly job: DataJobKind; readonly error: SerializedError }
  | DataResult;

/** The jobs of a dataset, at most one of each kind. */
export class DataJobs {
  private readonly running = new Map<DataJobKind, Running>();
  private ends: JobEnd[] = [];

  get list(): { readonly job: DataJobKind; readonly done: number }[] {
    return [...this.running].map(([job, { done }]) => ({ job, done }));
  }

  isRunning = (job: DataJobKind): boolean => this.running.has(job);

  /** Starts a job in the place of one of the same kind. */
  start(
    job: DataJobKind,
    work: (control: JobControl) => Promise<DataResult | null>,
  ): Promise<void> {
    this.stop(job);
    const own: Running = { stop: new AbortController(), done: 0 };
    this.running.set(job, own);
    return work(controlOf(own))
      .then((result) => {
        if (result && !own.stop.signal.aborted) this.ends.push(result);
      })
      .catch((error: unknown) => {
        if (own.stop.signal.aborted) return;
        this.ends.push({
          kind: 'failed',
          job,
          error: LoraError.from(error, 'dataset').serialize(),
        });
      })
      .finally(() => {
        if (this.running.get(job) === own) this.running.delete(job);
      });
  }

  stop(job: DataJobKind): void {
    this.running.get(job)?.stop.abort();
    this.running.delete(job);
  }

  stopAll(): void {
    for (const job of [...this.running.keys()]) this.stop(job);
  }

  /** What has ended since the last call. */
  takeEnds(): readonly JobEnd[] {
    const { ends } = this;
    this.ends = [];
    return ends;
  }
}

const controlOf = (own: Running): JobControl => {
  const { signal } = own.stop;
  const check = () => {
    if (signal.aborted) throw new LoraError('cancelled', 'The job was stopped.');
  };
  return {
    signal,
    report: (done) => {
      own.done = Math.max(0, Math.min(1, done));
    },
    pause: async () => {
      check();
      await setImmediate();
      check();
    },
  };
};
