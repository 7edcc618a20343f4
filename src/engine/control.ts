import type { MessagePort } from 'node:worker_threads';
import { LoraError } from '../shared/errors';
import type { WorkerCommand, WorkerEvent } from './messages';

type Request = Extract<WorkerCommand, { readonly id: number }>;

/** What the main thread asks of a training. Flags change at once; requests wait until the loop serves them between two steps. */
export class Control {
  paused = false;
  stopped = false;
  private readonly queue: Request[] = [];
  private wake: () => void = () => undefined;
  private handler: ((request: Request) => Promise<unknown>) | null = null;

  constructor(private readonly port: MessagePort) {
    port.on('message', (command: WorkerCommand) => this.receive(command));
  }

  /** Who answers requests. */
  onRequest(handler: (request: Request) => Promise<unknown>): void {
    this.handler = handler;
  }

  /** Answers what has been asked so far. */
  async serve(): Promise<void> {
    for (let request = this.queue.shift(); request; request = this.queue.shift()) {
      const { id } = request;
      try {
        if (!this.handler) throw new LoraError('engine', 'The training has not begun.');
        this.send({ kind: 'reply', id, result: await this.handler(request) });
      } catch (error) {
        this.send({ kind: 'refusal', id, error: LoraError.from(error, 'engine').serialize() });
      }
    }
  }

  /** Until resumed or stopped; requests are answered meanwhile. */
  async whilePaused(): Promise<void> {
    while (this.paused && !this.stopped) {
      await this.serve();
      await new Promise<void>((resolve) => { this.wake = resolve; });
    }
    await this.serve();
  }

  private receive(command: WorkerCommand): void {
    switch (command.kind) {
      case 'pause': this.paused = true; break;
      case 'resume': this.paused = false; break;
      case 'stop': this.stopped = true; break;
      case 'checkpoint': case 'generate': this.queue.push(command);
    }
    this.wake();
  }

  private send(event: WorkerEvent): void {
    this.port.postMessage(event);
  }
}
