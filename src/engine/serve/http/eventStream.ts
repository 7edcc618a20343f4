import type { ServerResponse } from 'node:http';

/** Bytes that may wait for a client that reads slowly: more than an answer has. */
const MOST_WAITING = 8 << 20;

/** Server-sent events of an answer. The headers are sent with the first event. */
export class EventStream {
  constructor(private readonly response: ServerResponse) {}

  get isOpen(): boolean {
    return this.response.headersSent;
  }

  send(...events: readonly object[]): void {
    if (!this.isOpen)
      this.response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
      });
    for (const event of events) this.write(JSON.stringify(event));
  }

  end(): void {
    this.write('[DONE]');
    this.response.end();
  }

  private write(text: string): void {
    this.response.write(`data: ${text}\n\n`);
    if (this.response.writableLength > MOST_WAITING) this.response.destroy();
  }
}
