import type { MetricLine } from './metrics/lines';
import type { SerializedError } from './errors';
import type { RunState } from './run';

/**
 * Requests from clients to the engine: JSON-RPC 2.0 over the run's named pipe. Any number of
 * clients can connect to a run.
 */
export interface EngineRequests {
  /** The current status, for a client that connects later; the history is in metrics.jsonl. */
  readonly status: { params: undefined; result: EngineStatus };
  readonly pause: { params: undefined; result: EngineStatus };
  readonly resume: { params: undefined; result: EngineStatus };
  /** Stops the run. The adapter so far and a checkpoint are kept. */
  readonly stop: { params: undefined; result: EngineStatus };
  /** Writes a checkpoint after the current step; returns its path within the run's folder. */
  readonly checkpoint: { params: undefined; result: { readonly path: string } };
  /** Answers a prompt with the adapter's current weights, after the current step. */
  readonly generate: { params: GenerateParams; result: { readonly text: string } };
  /**
   * Stops the run once no client has been connected for this many seconds. Null (the default): it
   * continues without clients.
   */
  readonly stop_when_alone: { params: { readonly seconds: number | null }; result: EngineStatus };
}

/** Notifications from the engine to all clients. */
export interface EngineNotifications {
  readonly metric: MetricLine;
  readonly status: EngineStatus;
  readonly progress: EngineProgress;
  readonly log: { readonly level: 'info' | 'warn' | 'error'; readonly message: string };
}

/** The state of a run at one moment. */
export interface EngineStatus {
  readonly state: RunState;
  readonly step: number;
  readonly total_steps: number | null;
  /** Estimated seconds until the end; null while unknown. */
  readonly seconds_left: number | null;
  readonly error: SerializedError | null;
  /** Bytes of GPU memory, used by all programs and in total; null on a CPU. */
  readonly device_memory?: { readonly used: number; readonly total: number } | null;
}

/** What the engine is doing, and how far it is. */
export interface EngineProgress {
  readonly phase:
    | 'reading data'
    | 'loading model'
    | 'training'
    | 'reference'
    | 'evaluating'
    | 'sampling'
    | 'saving'
    /** To a target. */
    | 'sending'
    /** For a target that starts the job. */
    | 'waiting'
    /** What a target has trained. */
    | 'fetching';
  /** From 0 to 1; null if unknown. */
  readonly fraction: number | null;
}

/** A prompt, and how to answer it. */
export interface GenerateParams {
  readonly prompt: string;
  /** Whether the prompt goes through the chat template. */
  readonly chat: boolean;
  readonly max_new_tokens: number;
  /** 0: always the most likely token. */
  readonly temperature: number;
}

/** The methods of the JSON-RPC requests. */
export type EngineRequestName = keyof EngineRequests;
/** The methods of the JSON-RPC notifications. */
export type EngineNotificationName = keyof EngineNotifications;
