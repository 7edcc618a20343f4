import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { GenerateParams } from '../../shared/engineProtocol';
import { LoraError } from '../../shared/errors';
import { leaveThread } from '../nativeCall';
import type { RunEvent, TrainJob, WorkerCommand, WorkerEvent, WorkerRequest } from './messages';

/** Callbacks for the worker's events, called one at a time; a rejection terminates the worker. */
export interface WorkerListener {
  readonly onEvent: (event: RunEvent) => Promise<void> | void;
  /** An error that the worker has not caught. */
  readonly onCrash: (error: LoraError) => Promise<void>;
}

/** How long a worker outside of native calls may take to end. */
const TERMINATION_MS = 300;

interface PendingRequest {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The main thread's side of the worker thread: commands to it, events and replies from it. */
export class TrainingWorker {
  private worker: Worker | null = null;
  private readonly pending = new Map<number, PendingRequest>();
  private nextId = 1;
  /** Whether what the worker still sends counts. */
  private isListening = true;
  /** Resolves `run` although the worker has not exited. */
  private leave: () => void = () => undefined;

  /**
   * Starts the worker; resolves when it has exited and all of its events have been handled. Rejects
   * with what the listener threw.
   */
  async run(script: string, job: TrainJob, listener: WorkerListener): Promise<void> {
    const worker = new Worker(script, { workerData: job });
    this.worker = worker;
    let handled: Promise<void> = Promise.resolve();
    let hasFailed = false;
    const enqueue = (handle: () => Promise<void> | void) => {
      handled = handled.then(handle);
      handled.catch(() => {
        // the events that were waiting fail, too
        if (hasFailed) return;
        hasFailed = true;
        // an event that cannot be recorded (the disk is full) makes it useless to continue
        void worker.terminate();
      });
    };
    worker.on('message', (event: WorkerEvent) => {
      if (this.isListening) enqueue(() => this.handle(event, listener));
    });
    worker.on('error', (error) => enqueue(() => listener.onCrash(LoraError.from(error, 'engine'))));
    await new Promise<void>((resolve) => {
      this.leave = () => {
        this.rejectPending();
        resolve();
      };
      worker.on('exit', this.leave);
    });
    await handled;
  }

  /** Does nothing unless the worker is running. */
  send(command: WorkerCommand): void {
    this.worker?.postMessage(command);
  }

  /**
   * Ends the worker in the middle of what it does. One in a native call of libtensorflow is left
   * there: that call ends with the process.
   */
  async end(): Promise<void> {
    const { worker } = this;
    if (!worker) return;
    this.isListening = false;
    const isLeft = await Promise.race([
      worker.terminate().then(() => false),
      setTimeout(TERMINATION_MS, true, { ref: false }),
    ]);
    if (!isLeft) return;
    leaveThread();
    this.leave();
  }

  /** Writes a checkpoint after the current step. @throws LoraError */
  checkpoint(): Promise<{ readonly path: string }> {
    return this.request((id) => ({ kind: 'checkpoint', id })) as Promise<{ readonly path: string }>;
  }

  /** Answers a prompt after the current step. @throws LoraError */
  generate(params: GenerateParams): Promise<{ readonly text: string }> {
    return this.request((id) => ({ kind: 'generate', id, params })) as Promise<{
      readonly text: string;
    }>;
  }

  private request(make: (id: number) => WorkerRequest): Promise<unknown> {
    const { worker } = this;
    if (!worker) return Promise.reject(trainingHasEnded());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      worker.postMessage(make(id));
    });
  }

  private handle(event: WorkerEvent, listener: WorkerListener): Promise<void> | void {
    switch (event.kind) {
      case 'reply':
        this.takePending(event.id)?.resolve(event.result);
        return;
      case 'refusal':
        this.takePending(event.id)?.reject(LoraError.deserialize(event.error));
        return;
      default:
        return listener.onEvent(event);
    }
  }

  private takePending(id: number): PendingRequest | undefined {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    return pending;
  }

  private rejectPending(): void {
    this.worker = null;
    for (const { reject } of this.pending.values()) reject(trainingHasEnded());
    this.pending.clear();
  }
}

const trainingHasEnded = () => new LoraError('engine', 'The training has ended.');
