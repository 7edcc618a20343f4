import type { MetricLine } from './metrics/lines';
import type { SerializedError } from './errors';
import type { RunState } from './run';

/**
 * JSON-RPC 2.0 over a run's named pipe. The engine serves; any number of clients may follow one
 * run.
 */
export interface EngineRequests {
  /** What a client needs that comes late; the history is in metrics.jsonl. */
  readonly status: { params: undefined; result: EngineStatus };
  readonly pause: { params: undefined; result: EngineStatus };
  readonly resume: { params: undefined; result: EngineStatus };
  /** Ends after the step under way; the adapter so far and a checkpoint are kept. */
  readonly stop: { params: undefined; result: EngineStatus };
  /** Writes a checkpoint after the step under way; gives its path relative to the run's folder. */
  readonly checkpoint: { params: undefined; result: { readonly path: string } };
  /** Answers a prompt with the adapter as it is now, between two steps. */
  readonly generate: { params: GenerateParams; result: { readonly text: string } };
  /**
   * What follows when the last client has gone: seconds null (the default): go on; else stop, once
   * nobody has been connected for so long.
   */
  readonly stop_when_alone: { params: { readonly seconds: number | null }; result: EngineStatus };
}

export interface EngineNotifications {
  readonly metric: MetricLine;
  readonly status: EngineStatus;
  readonly progress: EngineProgress;
  readonly log: { readonly level: 'info' | 'warn' | 'error'; readonly message: string };
}

export interface EngineStatus {
  readonly state: RunState;
  readonly step: number;
  readonly total_steps: number | null;
  /** Seconds until the end at the present speed; null while unknown. */
  readonly seconds_left: number | null;
  readonly error: SerializedError | null;
  /** Bytes of the GPU's memory in use, by whatever program, and in all; none on a CPU. */
  readonly device_memory?: { readonly used: number; readonly total: number } | null;
}

/** What the engine does before and beside the steps. */
export interface EngineProgress {
  readonly phase:
    'reading data' | 'loading model' | 'training' | 'evaluating' | 'sampling' | 'saving';
  /** From 0 to 1; null where it cannot be told. */
  readonly fraction: number | null;
}

export interface GenerateParams {
  readonly prompt: string;
  readonly chat: boolean;
  readonly max_new_tokens: number;
  readonly temperature: number;
}

export type EngineRequestName = keyof EngineRequests;
export type EngineNotificationName = keyof EngineNotifications;
