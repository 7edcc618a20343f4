import type { SerializedError } from './errors';
import type { RunForgetting } from './evaluation/forgetting';
import type { RunScore } from './evaluation/result';
import type { Recipe, TrainingMethod } from './recipe';
import type { RemoteStage } from './remoteRun';
import type { Quantize } from './trainingSettings';

/**
 * The state of a run in run.json. `interrupted` is never written: readers use it for a run whose
 * engine no longer exists.
 */
export type RunState =
  'preparing' | 'running' | 'paused' | 'stopped' | 'completed' | 'failed' | 'interrupted';

/** The states of a run without an engine. */
export const ENDED_STATES: ReadonlySet<RunState> = new Set<RunState>([
  'stopped',
  'completed',
  'failed',
  'interrupted',
]);

/** Identifies the content of a file. */
export interface FileFingerprint {
  /** File name within the base, or the dataset's path. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  /** Empty while it is computed, and in a run that was stopped before. */
  readonly sha256: string;
}

/** A score of the validation set. */
export interface MetricValue {
  readonly name: string;
  readonly value: number;
}

/** The end of a training run that no longer improved. */
export interface StoppedEarly {
  /** Evaluations in a row without an improvement. */
  readonly patience: number;
  /** training.metric_for_best_model */
  readonly metric: string;
}

/** A source of a training set. */
export interface SourceRecord {
  readonly name: string;
  /** The commit of a dataset on the Hub. */
  readonly revision?: string;
  readonly weight: number;
  readonly examples: number;
  readonly tokens: number;
  readonly labelled_tokens: number;
  /** How many of its examples are drawn in an epoch, and their share of all that are. */
  readonly drawn: number;
  readonly share: number;
}

/** What a run has achieved so far. */
export interface RunResult {
  readonly steps: number;
  readonly last_loss: number | null;
  readonly last_validation_loss: number | null;
  /** The step of the last validation loss. Missing in records of older versions. */
  readonly last_validation_step?: number | null;
  /** The validation loss at step 0: the base's. Missing in records of older versions. */
  readonly first_validation_loss?: number | null;
  /** The loss of the evaluation whose weights are in best/: by default the lowest after a step. */
  readonly best_validation_loss: number | null;
  readonly best_step: number | null;
  /** What best/ was chosen by, unless it is the loss. Missing in records of older versions. */
  readonly best_metric?: MetricValue | null;
  /** The evaluation at the end ("evaluate" in the recipe), whose folder is evaluation/. */
  readonly evaluation?: RunScore | null;
  /** What was forgotten ("evaluate.forgetting"); the answers are in forgetting/. */
  readonly forgetting?: RunForgetting | null;
  /** Why the training ended before its last step; null or missing: it did not. */
  readonly stopped_early?: StoppedEarly | null;
  /** Folder of the adapter within the run's; null until it is written. */
  readonly adapter: string | null;
  /** The same for the model of full fine-tuning. Missing in records of older versions. */
  readonly model?: string | null;
}

/**
 * How steps are computed: the data type of the frozen weights, and how many layers, from the first,
 * are recomputed in the backward pass.
 */
export interface StepPlan {
  readonly base_dtype: 'float32' | 'bfloat16';
  /** Whether quantized weights stay in their blocks; then base_dtype is that of products. */
  readonly quantized?: boolean;
  /** How the weights are quantized while they are loaded (training.quantize). */
  readonly quantize?: Quantize;
  readonly recomputed_layers: number;
}

/** The plan of runs whose record does not contain one, because an older version wrote it. */
export const UNRECORDED_STEP_PLAN: StepPlan = { base_dtype: 'float32', recomputed_layers: 0 };

/** run.json, the record of a run. Paths in `recipe` are absolute; times are ISO 8601. */
export interface RunRecord {
  readonly version: 1;
  readonly id: string;
  readonly name: string;
  readonly state: RunState;
  readonly created: string;
  readonly started: string | null;
  readonly ended: string | null;
  /** The recipe with all defaults filled in. */
  readonly recipe: Recipe;
  /** The recipe's file. */
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
    /** Rows that skip_faulty_rows left out. Missing in records of older versions. */
    readonly skipped_rows?: number;
    /** Rows that lists beside the datasets left out. Missing in records of older versions. */
    readonly excluded_rows?: number;
    /** Of the training set; missing in records of older versions. */
    readonly sources?: readonly SourceRecord[];
    readonly fingerprint: readonly FileFingerprint[];
  } | null;
  /** Null until it is chosen. Missing in records of older versions. */
  readonly step_plan?: StepPlan | null;
  readonly trainable_parameters: number | null;
  readonly total_steps: number | null;
  readonly versions: {
    readonly extension: string;
    readonly node: string;
    readonly runtime: string | null;
    readonly device: string | null;
    /** Operating system and processor. Missing in records of older versions. */
    readonly system?: string;
  };
  readonly git_commit: string | null;
  readonly result: RunResult;
  readonly error: SerializedError | null;
  /** Of a run that another program trained: whose log it was read from. Missing in others. */
  readonly imported?: { readonly program: string; readonly file: string };
}

/** engine.json, which exists while an engine owns the run: its process and its pipe. */
export interface EngineRecord {
  readonly pid: number;
  /** When the process started, and on which machine. Missing in records of older versions. */
  readonly start?: string | null;
  readonly machine?: string;
  readonly started: string;
  /** Path of the named pipe (Unix socket). */
  readonly pipe: string;
  /** ISO 8601, renewed every HEARTBEAT_MS. */
  readonly heartbeat: string;
}

/** remote.json of a run that is trained on a target. It contains no secrets. */
export interface RemoteRecord {
  readonly version: 1;
  /** The target as it was when the run was started. */
  readonly target: {
    readonly name: string;
    readonly kind: string;
    /** Its host or address. */
    readonly place: string;
  };
  /** The job there. */
  readonly job: string;
  /** What finds the job again; null until it has been started. */
  readonly handle: Readonly<Record<string, string | number | null>> | null;
  /** What was sent: the ids of items, and the folders here that their files are from. */
  readonly sent: Readonly<Record<string, string>>;
  /** Milliseconds that the clock there is ahead; null while it is not known. */
  readonly clock_ahead: number | null;
  readonly connection: RemoteConnection;
  /**
   * After a resume, by the names of files that grow: how many bytes here an earlier job wrote that
   * the job there does not have. Null: not known yet; missing: none.
   */
  readonly earlier?: Readonly<Record<string, number | null>>;
  /** Names of the checkpoints there. */
  readonly checkpoints: readonly string[];
  /** Missing while it trains. */
  readonly stage?: RemoteStage;
}

/** How well a run on a target can be followed. */
export interface RemoteConnection {
  readonly state: 'connected' | 'lost' | 'closed';
  /** ISO 8601. */
  readonly since: string;
  /** Why the target cannot be reached. */
  readonly reason: string | null;
}

/** The training method of a recipe. Recipes of older versions have none: they trained adapters. */
export const methodOf = ({
  training,
}: {
  readonly training?: { readonly method?: TrainingMethod };
}): TrainingMethod => training?.method ?? 'lora';

/** How often an engine renews its heartbeat. */
export const HEARTBEAT_MS = 2_000;

/** The folder of a recipe's runs, relative to the recipe's. */
export const RUNS_FOLDER = '.lora/runs';

/** Names of the files and folders of a run. */
export const RUN_FILES = {
  record: 'run.json',
  engine: 'engine.json',
  metrics: 'metrics.jsonl',
  log: 'engine.log',
  adapter: 'adapter',
  /** The product of full fine-tuning. */
  model: 'model',
  /** The adapter or model with the lowest validation loss. */
  best: 'best',
  checkpoints: 'checkpoints',
  /** The rows that skip_faulty_rows left out: their lines and errors. */
  skipped: 'skipped_rows.jsonl',
  /** Log-probabilities under the model that training started from. */
  references: 'references.safetensors',
  /** The answers to the recipe's suites. */
  evaluation: 'evaluation',
  /** The answers to general questions. */
  forgetting: 'forgetting',
  /** The most probable tokens under a teacher. */
  teacher: 'teacher.safetensors',
  /** Where a run on a target is, and how it is followed. */
  remote: 'remote.json',
  /** The event files of TensorBoard (report_to). */
  tensorboard: 'tensorboard',
  /** The run's id on an MLflow server. */
  mlflow: 'mlflow.json',
  /** The engine's log there. */
  remoteLog: 'remote.log',
  /** What was not committed when VS Code started the run, as a diff. */
  changes: 'uncommitted.diff',
} as const;

/** The user's name, tags and note of a run. Only the engine writes the other files. */
export const NOTES_FILE = 'notes.json';

/** Whether a path out of run.json stays in the run's folder, on every system. */
export const isInRun = (inner: string): boolean =>
  inner !== '' &&
  !inner.includes('\0') &&
  !/^(?:[\\/]|[A-Za-z]:)/.test(inner) &&
  !inner.split(/[\\/]/).includes('..');

/**
 * A new run's folder name, such as 20260131-142501-7f3a: the UTC time, so that names sort by age,
 * and a random suffix for runs that start in the same second.
 */
export function newRunId(now: Date = new Date(), random: () => number = Math.random): string {
  const time = now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  return `${time}-${Math.floor(random() * 0x10000)
    .toString(16)
    .padStart(4, '0')}`;
}
