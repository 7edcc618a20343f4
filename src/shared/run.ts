import type { SerializedError } from './errors';
import type { Recipe, TrainingMethod } from './recipe';
import type { StepPlan } from './stepPlan';

/**
 * What run.json says of the run. `interrupted` is never written: it is what a reader calls a run
 * whose engine is gone.
 */
export type RunState =
  'preparing' | 'running' | 'paused' | 'stopped' | 'completed' | 'failed' | 'interrupted';

export const ENDED_STATES: ReadonlySet<RunState> = new Set<RunState>([
  'stopped',
  'completed',
  'failed',
  'interrupted',
]);

export interface FileFingerprint {
  /** File name within the base, or the dataset's path. */
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

export interface RunResult {
  readonly steps: number;
  readonly last_loss: number | null;
  readonly last_validation_loss: number | null;
  readonly best_validation_loss: number | null;
  readonly best_step: number | null;
  /** Relative to the run's folder: adapter. */
  readonly adapter: string | null;
  /** model, where every weight was trained; runs of before have none. */
  readonly model?: string | null;
}

/** run.json: the truth about a run. Paths in `recipe` are absolute; times are ISO 8601. */
export interface RunRecord {
  readonly version: 1;
  readonly id: string;
  readonly name: string;
  readonly state: RunState;
  readonly created: string;
  readonly started: string | null;
  readonly ended: string | null;
  /** The recipe with every default filled in. */
  readonly recipe: Recipe;
  /** The file that the recipe came from. */
  readonly recipe_path: string | null;
  readonly base: {
    readonly name: string;
    readonly architecture: string;
    readonly parameters: number;
    readonly fingerprint: readonly FileFingerprint[];
  } | null;
  readonly data: {
    readonly examples: number;
    readonly validation_examples: number;
    readonly tokens: number;
    readonly labelled_tokens: number;
    readonly fingerprint: readonly FileFingerprint[];
  } | null;
  /** Null until it is known; runs of before have none. */
  readonly step_plan?: StepPlan | null;
  readonly trainable_parameters: number | null;
  readonly total_steps: number | null;
  readonly versions: {
    readonly extension: string;
    readonly node: string;
    readonly runtime: string | null;
    readonly device: string | null;
  };
  readonly git_commit: string | null;
  readonly result: RunResult;
  readonly error: SerializedError | null;
}

/** engine.json, while an engine owns the run: who it is and how to reach it. */
export interface EngineRecord {
  readonly pid: number;
  readonly started: string;
  /** Path of the named pipe (Unix socket). */
  readonly pipe: string;
  /** ISO 8601, renewed every HEARTBEAT_MS. */
  readonly heartbeat: string;
}

/** What trained; runs of before do not say, and trained adapters. */
export const methodOf = ({
  training,
}: {
  readonly training?: { readonly method?: TrainingMethod };
}): TrainingMethod => training?.method ?? 'lora';

export const HEARTBEAT_MS = 2_000;

export const RUNS_FOLDER = '.lora/runs';

export const RUN_FILES = {
  record: 'run.json',
  engine: 'engine.json',
  metrics: 'metrics.jsonl',
  log: 'engine.log',
  adapter: 'adapter',
  /** Where every weight was trained. */
  model: 'model',
  /** The adapter, or the model, with the lowest validation loss. */
  best: 'best',
  checkpoints: 'checkpoints',
} as const;

/**
 * A run's folder name: UTC time, so that names sort by age, and a random end, so that two starts in
 * one second differ: 20260131-142501-7f3a.
 */
export function newRunId(now: Date = new Date(), random: () => number = Math.random): string {
  const time = now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  return `${time}-${Math.floor(random() * 0x10000)
    .toString(16)
    .padStart(4, '0')}`;
}
