import type { MetricLine } from '../../shared/metrics/lines';
import type { RunScore } from '../../shared/evaluation/result';
import type { SerializedError } from '../../shared/errors';
import type { EngineProgress, GenerateParams } from '../../shared/engineProtocol';
import type { Recipe } from '../../shared/recipe';
import type { MetricValue, RunRecord, StepPlan, StoppedEarly } from '../../shared/run';
import type { Runtime } from '../../runtime/runtime';
import type { ProductKind } from './products/product';

/** The worker's workerData. */
export interface TrainJob {
  readonly recipe: Recipe;
  readonly run_dir: string;
  /** When the run was created (ISO 8601): "now" in chat templates, including after a resume. */
  readonly created: string;
  readonly runtime: Runtime;
  /** Folder of the bundles. */
  readonly dist: string;
  /** Continue from this step's checkpoint; null: from the start. */
  readonly resume_from: number | null;
  /** The step plan of a resumed run; null: to be chosen for this machine. */
  readonly step_plan: StepPlan | null;
  /**
   * A range test instead of a training run: a step at each of these rates, and nothing is written.
   */
  readonly rates?: readonly number[];
}

/** Main thread to worker. A request is answered between two steps, by the WorkerReply of its id. */
export type WorkerCommand = { readonly kind: 'pause' | 'resume' | 'stop' } | WorkerRequest;

/** A request that the worker answers. `id` identifies its reply. */
export type WorkerRequest =
  | { readonly kind: 'checkpoint'; readonly id: number }
  | { readonly kind: 'generate'; readonly id: number; readonly params: GenerateParams };

/** What run.json records once everything is loaded. */
export interface RunFacts {
  readonly base: Omit<NonNullable<RunRecord['base']>, 'fingerprint'>;
  /** Paths of the base's weight files. */
  readonly weight_files: readonly string[];
  readonly data: NonNullable<RunRecord['data']>;
  readonly step_plan: StepPlan;
  readonly trainable_parameters: number;
  readonly total_steps: number;
  readonly device: string;
}

/** Worker to main thread. */
export type WorkerEvent = RunEvent | WorkerReply;

/** The answer to a WorkerRequest, or the error that it caused. */
export type WorkerReply =
  | { readonly kind: 'reply'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly error: SerializedError };

/** An event of the run. */
export type RunEvent =
  | { readonly kind: 'facts'; readonly facts: RunFacts }
  | { readonly kind: 'metric'; readonly line: MetricLine }
  | { readonly kind: 'progress'; readonly progress: EngineProgress }
  | { readonly kind: 'state'; readonly state: 'running' | 'paused' }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn'; readonly message: string }
  /** A stop has arrived: the worker is not within a native call. */
  | { readonly kind: 'stopReceived' }
  /** A stop takes effect: what was trained is now saved. */
  | { readonly kind: 'stopping' }
  /** The best evaluation so far. `metric`: what it is the best by; null: the loss. */
  | {
      readonly kind: 'best';
      readonly step: number;
      readonly loss: number;
      readonly metric: MetricValue | null;
    }
  | ({
      readonly kind: 'done';
      readonly state: 'completed' | 'stopped';
      /** Null when no step was taken, so that nothing was written. */
      readonly product: ProductKind | null;
      readonly stopped_early: StoppedEarly | null;
    } & RunAnswers)
  | { readonly kind: 'failed'; readonly error: SerializedError };

/** What the model has answered after its training. */
export interface RunAnswers {
  /** The recipe's suites; null: they were not run. */
  readonly evaluation: RunScore | null;
  /** General questions; null: they were not asked. */
  readonly general: RunScore | null;
}

export const NO_ANSWERS: RunAnswers = { evaluation: null, general: null };

/** What a training run has done that had no time to save anything. */
export const STOPPED_AT_ONCE = {
  kind: 'done',
  state: 'stopped',
  product: null,
  stopped_early: null,
  evaluation: null,
  general: null,
} as const satisfies RunEvent;
