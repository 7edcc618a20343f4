import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { yieldToEventLoop } from '../../models/ops/ops';
import { LoraError } from '../../shared/errors';
import type { WorkerCommand, WorkerEvent, WorkerRequest } from './messages';

/** Thrown to leave a step when the run is stopped; the unfinished step is dropped. */
export class RunStopped extends Error {}

/**
 * Receives the main thread's commands in the worker. A pause and a stop take effect between two
 * operations; requests are answered between two steps or during a pause.
 */
export class Control {
  stopped = false;
  /** Milliseconds spent in pauses so far. */
  pausedMilliseconds = 0;
  private paused = false;
  private isAnswering = false;
  private readonly requests: WorkerRequest[] = [];
  /** Wakes a paused run when a command arrives. */
  private wake: () => void = () => undefined;
  private handler: ((request: WorkerRequest) => Promise<unknown>) | null = null;

  constructor(private readonly port: MessagePort) {
    port.on('message', (command: WorkerCommand) => this.receive(command));
  }

  /** Sets the handler of requests; until then they are refused. */
  onRequest(handler: (request: WorkerRequest) => Promise<unknown>): void {
    this.handler = handler;
  }

  /** Answers the requests that have arrived so far. An error of the handler goes to its client. */
  async answerRequests(): Promise<void> {
    this.isAnswering = true;
    for (let request = this.requests.shift(); request; request = this.requests.shift()) {
      const { id } = request;
      try {
        if (!this.handler) throw new LoraError('engine', 'The training has not started yet.');
        this.send({ kind: 'reply', id, result: await this.handler(request) });
      } catch (error) {
        this.send({ kind: 'refusal', id, error: refusalOf(error).serialize() });
      }
    }
    this.isAnswering = false;
  }

  /**
   * To be awaited between two operations: receives commands and waits while the run is paused,
   * unless the operations are those of an answer.
   *
   * @throws RunStopped when the run has been stopped
   */
  async betweenOperations(): Promise<void> {
    await yieldToEventLoop();
    if (this.paused && !this.isAnswering) await this.waitWhilePaused();
    if (this.stopped) throw new RunStopped();
  }

  /**
   * For work that does not yield to the event loop: receives the commands that have arrived.
   *
   * @throws RunStopped when the run has been stopped
   */
  throwIfStopped(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.port);
      if (!received) break;
      this.receive(received.message as WorkerCommand);
    }
    if (this.stopped) throw new RunStopped();
  }

  private async waitWhilePaused(): Promise<void> {
    const since = performance.now();
    this.send({ kind: 'state', state: 'paused' });
    while (this.paused && !this.stopped) {
      await this.answerRequests();
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    await this.answerRequests();
    this.pausedMilliseconds += performance.now() - since;
    if (!this.stopped) this.send({ kind: 'state', state: 'running' });
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
        this.send({ kind: 'stopReceived' });
        break;
      case 'checkpoint':
      case 'generate':
        this.requests.push(command);
    }
    this.wake();
  }

  private send(event: WorkerEvent): void {
    this.port.postMessage(event);
  }
}

/** Why a request is not answered. */
const refusalOf = (error: unknown): LoraError =>
  error instanceof RunStopped
    ? new LoraError('engine', 'The training was stopped.')
    : LoraError.from(error, 'engine');
