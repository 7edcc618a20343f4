import { TooManyRequests } from '../batchScheduler';

/** Requests one after the other, of which few may wait. */
export class RequestQueue {
  private last: Promise<unknown> = Promise.resolve();
  private size = 0;

  constructor(private most: number) {}

  /** Waits for the requests at work, and takes no more. */
  async close(): Promise<void> {
    this.most = 0;
    await this.last;
  }

  /** @throws TooManyRequests */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.size >= this.most)
      return Promise.reject(new TooManyRequests(`${this.size} requests are waiting already.`));
    this.size++;
    const result = this.last.then(work).finally(() => this.size--);
    this.last = result.catch(() => undefined);
    return result;
  }
}
