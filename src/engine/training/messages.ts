import type { MetricLine } from '../../shared/metrics/lines';
import type { SerializedError } from '../../shared/errors';
import type { EngineProgress, GenerateParams } from '../../shared/engineProtocol';
import type { Recipe } from '../../shared/recipe';
import type { RunRecord } from '../../shared/run';
import type { StepPlan } from '../../shared/stepPlan';
import type { Runtime } from '../../runtime/runtime';
import type { ProductKind } from './products/product';

/** What a worker is started for. */
export interface TrainJob {
  readonly recipe: Recipe;
  readonly run_dir: string;
  /** Start of the run, ISO 8601: what "now" means in a chat template, also after a resume. */
  readonly created: string;
  readonly runtime: Runtime;
  readonly dist: string;
  /** Go on from this step's checkpoint; null: from the start. */
  readonly resume_from: number | null;
  /** How the run's steps were taken before; null: to be chosen. */
  readonly step_plan: StepPlan | null;
}

/** Main thread to worker. Everything is done between two steps. */
export type WorkerCommand =
  | { readonly kind: 'pause' | 'resume' | 'stop' }
  | { readonly kind: 'checkpoint'; readonly id: number }
  | { readonly kind: 'generate'; readonly id: number; readonly params: GenerateParams };

/** Facts that run.json tells, known once everything is loaded. */
export type RunFacts = {
  readonly base: Omit<NonNullable<RunRecord['base']>, 'fingerprint'>;
  readonly weight_files: readonly string[];
  readonly data: NonNullable<RunRecord['data']>;
  readonly step_plan: StepPlan;
  readonly trainable_parameters: number;
  readonly total_steps: number;
  readonly device: string;
};

/** Worker to main thread. */
export type WorkerEvent =
  | { readonly kind: 'facts'; readonly facts: RunFacts }
  | { readonly kind: 'metric'; readonly line: MetricLine }
  | { readonly kind: 'progress'; readonly progress: EngineProgress }
  | { readonly kind: 'state'; readonly state: 'running' | 'paused' }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn'; readonly message: string }
  | { readonly kind: 'best'; readonly step: number; readonly loss: number }
  | { readonly kind: 'reply'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly error: SerializedError }
  | {
      readonly kind: 'done';
      readonly state: 'completed' | 'stopped';
      readonly product: ProductKind;
    }
  | { readonly kind: 'failed'; readonly error: SerializedError };
