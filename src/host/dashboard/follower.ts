import type { Disposable } from '../../common/signal';
import type { EngineNotifications, EngineStatus } from '../../shared/engineProtocol';
import type { RunRequest } from '../../shared/pages/dashboard/protocol';

/**
 * A connection to the engine of one run. The dashboard disposes what it was given; that closes the
 * connection and leaves the engine running. The engine appends a line to metrics.jsonl before it
 * sends it: the dashboard reads the file and takes `metric` as the sign to look.
 */
export interface RunFollower extends Disposable {
  /** Errors: LoraError('engine'). */
  request(name: 'status' | RunRequest, params: undefined): Promise<EngineStatus>;
  on<N extends 'metric' | 'status' | 'progress' | 'log'>(
    name: N,
    listener: (params: EngineNotifications[N]) => void,
  ): Disposable;
  /** The engine ended or the pipe broke; called at once when that is so already. */
  onClose(listener: () => void): Disposable;
}

/** Connects to the run's engine; rejects when there is none or it does not answer. */
export type ConnectRun = (runDir: string) => Promise<RunFollower>;
