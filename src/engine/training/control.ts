import type { MessagePort } from 'node:worker_threads';
import { yieldToEventLoop } from '../../models/ops/ops';
import { LoraError } from '../../shared/errors';
import type { WorkerCommand, WorkerEvent } from './messages';

type Request = Extract<WorkerCommand, { readonly id: number }>;

/** The run is stopped in the middle of a step: what the step has done so far is dropped. */
export class RunStopped extends Error {}

/**
 * What the main thread asks of a training. A pause and a stop take effect between two operations,
 * requests are answered between two steps or in a pause.
 */
export class Control {
  paused = false;
  stopped = false;
  /** Milliseconds that pauses have taken so far. */
  pausedMilliseconds = 0;
  private serving = false;
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
  async answerRequests(): Promise<void> {
    this.serving = true;
    for (let request = this.queue.shift(); request; request = this.queue.shift()) {
      const { id } = request;
      try {
        if (!this.handler) throw new LoraError('engine', 'The training has not begun.');
        this.send({ kind: 'reply', id, result: await this.handler(request) });
      } catch (error) {
        this.send({ kind: 'refusal', id, error: LoraError.from(error, 'engine').serialize() });
      }
    }
    this.serving = false;
  }

  /** Between two operations: waits out a pause. Errors: Stopped when the run is stopped. */
  async betweenOperations(): Promise<void> {
    await yieldToEventLoop();
    if (this.serving) return;
    if (this.paused) await this.waitOut();
    if (this.stopped) throw new RunStopped();
  }

  private async waitOut(): Promise<void> {
    const since = performance.now();
    this.send({ kind: 'state', state: 'paused' });
    await this.whilePaused();
    this.pausedMilliseconds += performance.now() - since;
    if (!this.stopped) this.send({ kind: 'state', state: 'running' });
  }

  /** Until resumed or stopped; requests are answered meanwhile. */
  private async whilePaused(): Promise<void> {
    while (this.paused && !this.stopped) {
      await this.answerRequests();
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    await this.answerRequests();
  }

  private receive(command: WorkerCommand): void {
    switch (command.kind) {
      case 'pause':
        this.paused = true;
        break;
      case 'resume':
        this.paused = false;
        break;
      case 'stop':
        this.stopped = true;
        break;
      case 'checkpoint':
      case 'generate':
        this.queue.push(command);
    }
    this.wake();
  }

  private send(event: WorkerEvent): void {
    this.port.postMessage(event);
  }
}
