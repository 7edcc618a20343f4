import type { ServerResponse } from 'node:http';

/** Bytes that may wait for a client that reads slowly: more than an answer has. */
const MOST_WAITING = 8 << 20;
/** Events that follow others sooner are written together (ms): fewer than 60 writes a second. */
const LEAST_PAUSE = 17;

/** Server-sent events of an answer. The headers are sent with the first event. */
export class EventStream {
  private waiting = '';
  private written = -Infinity;
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly response: ServerResponse) {
    response.once('close', () => this.stopTimer());
  }

  get isOpen(): boolean {
    return this.response.headersSent;
  }

  send(...events: readonly object[]): void {
    if (!this.isOpen)
      this.response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
      });
    this.waiting += events.map((event) => eventOf(JSON.stringify(event))).join('');
    const pause = LEAST_PAUSE - (performance.now() - this.written);
    if (pause <= 0) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), pause);
  }

  end(): void {
    this.waiting += eventOf('[DONE]');
    this.close();
  }

  /** Ends without the mark of a whole answer. */
  close(): void {
    this.flush();
    this.response.end();
  }

  private flush(): void {
    this.stopTimer();
    if (this.waiting === '' || this.response.destroyed) return;
    this.response.write(this.waiting);
    this.waiting = '';
    this.written = performance.now();
    if (this.response.writableLength > MOST_WAITING) this.response.destroy();
  }

  private stopTimer(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
  }
}

const eventOf = (text: string): string => `data: ${text}\n\n`;
