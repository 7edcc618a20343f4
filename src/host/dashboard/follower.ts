import type { Disposable, Event } from 'vscode';
import type { EngineNotifications, EngineProgress, EngineStatus } from '../../shared/protocol';
import type { MetricLine } from '../../shared/metrics';

/** A connection to the engine of one run. The dashboard disposes what it was given; that closes the connection and leaves the engine running.
 *  The engine appends a line to metrics.jsonl before it sends it: the dashboard reads the file and takes `onMetric` as the sign to look. */
export interface RunFollower extends Disposable {
  readonly onMetric: Event<MetricLine>;
  readonly onStatus: Event<EngineStatus>;
  readonly onProgress: Event<EngineProgress>;
  readonly onLog: Event<EngineNotifications['log']>;
  /** The engine ended or the pipe broke. */
  readonly onClose: Event<void>;
  status(): Promise<EngineStatus>;
  /** Errors of the three: LoraError('engine'). */
  pause(): Promise<EngineStatus>;
  resume(): Promise<EngineStatus>;
  stop(): Promise<EngineStatus>;
}

/** Connects to the run's engine; undefined when there is none or it does not answer. Never throws. */
export type ConnectRun = (runDir: string) => Promise<RunFollower | undefined>;
