import type { Disposable } from '../../common/signal';
import type { EngineNotifications, EngineStatus } from '../../shared/engineProtocol';
import type { RunRequest } from '../../shared/pages/dashboard/protocol';

/**
 * A connection to the engine of one run, owned by its receiver. Disposing it leaves the engine
 * running. The engine appends each line to metrics.jsonl before it sends `metric`, so the dashboard
 * reads the lines from the file when notified.
 */
export interface RunFollower extends Disposable {
  /** Rejects with a LoraError when the engine refuses or the connection is broken. */
  request(name: 'status' | RunRequest, params: undefined): Promise<EngineStatus>;
  on<N extends 'metric' | 'status' | 'progress' | 'log'>(
    name: N,
    listener: (params: EngineNotifications[N]) => void,
  ): Disposable;
  /** Called when the engine has ended or the pipe is broken, immediately if that is already so. */
  onClose(listener: () => void): Disposable;
}

/** Connects to the engine of a run; rejects when there is none or it doesn't respond. */
export type ConnectRun = (runDir: string) => Promise<RunFollower>;
