import type { MetricLine, OtherLine, StepColumns } from '../../metrics/lines';
import type { ChartId } from '../../metrics/table';
import type { Place } from '../../errors';
import type { EngineProgress, EngineStatus } from '../../engineProtocol';
import type { RunRecord } from '../../run';

/**
 * The messages between the extension host and the dashboard of one run. The host owns the data; the
 * page only shows it.
 */
export type HostMessage =
  | SnapshotMessage
  | AppendMessage
  | StatusMessage
  | ProgressMessage
  | RunMessage
  | LogMessage
  | LabelsMessage
  | AnsweredMessage
  | WaitMessage;

/** The whole state: the answer to `ready`, sent again when earlier messages are void. */
export interface SnapshotMessage {
  readonly kind: 'snapshot';
  /** The run's folder; a page that showed another run starts again with this one. */
  readonly run_dir: string;
  /** null until the engine has written run.json. */
  readonly run: RunRecord | null;
  readonly status: EngineStatus;
  readonly progress: EngineProgress | null;
  readonly link: RunLink;
  /** Whether `steps` are only some of them, enough to draw: the page then asks for all of them. */
  readonly outline: boolean;
  readonly steps: StepColumns;
  /** All lines but the steps, in the order in which they were written. */
  readonly lines: readonly OtherLine[];
}

/** Lines written since, in order; a resume line undoes the later steps before it. */
export interface AppendMessage {
  readonly kind: 'append';
  readonly lines: readonly MetricLine[];
}

export interface StatusMessage {
  readonly kind: 'status';
  readonly status: EngineStatus;
  readonly link: RunLink;
}

export interface ProgressMessage {
  readonly kind: 'progress';
  readonly progress: EngineProgress | null;
}

export interface RunMessage {
  readonly kind: 'run';
  readonly run: RunRecord;
}

export interface LogMessage {
  readonly kind: 'log';
  readonly level: 'warn' | 'error';
  readonly message: string;
  /** ISO 8601. */
  readonly time: string;
}

/** What the user calls the run, and which run it can be compared with. */
export interface LabelsMessage {
  readonly kind: 'labels';
  /** Null: the user has given it no name. */
  readonly name: string | null;
  /** The run before it with an adapter of the same base or recipe; null without one. */
  readonly previous: string | null;
  /** Files that were not committed when the run started; null where that is not known. */
  readonly changed_files: number | null;
  /** Whether the commit has a page that can be opened. */
  readonly commit_page: boolean;
  /** Repeats the run in a terminal. */
  readonly command: string;
  /** Null: the run is trained on this machine. */
  readonly remote: RemoteLabels | null;
}

/** Where a run on a target is. The texts are in the user's language. */
export interface RemoteLabels {
  readonly target: string;
  /** Its kind, and its host or address. */
  readonly place: string;
  /** What it is doing besides training; null: nothing. */
  readonly stage: string | null;
  /** Why it is not connected, and that it continues; null while it is connected. */
  readonly away: string | null;
  /** Whether nothing tries to connect again by itself. */
  readonly can_reconnect: boolean;
}

/** What the run waits for before it starts, about the runtime; null: nothing. */
export interface WaitMessage {
  readonly kind: 'wait';
  readonly for: RuntimeWait | null;
}

/** Whether the user must answer, or the runtime is being installed. */
export const RUNTIME_WAITS = ['answer', 'installation'] as const;

export type RuntimeWait = (typeof RUNTIME_WAITS)[number];

/** Install the runtime, or ask again, with all choices. */
export const RUNTIME_REQUESTS = ['install', 'ask'] as const;

export type RuntimeRequest = (typeof RUNTIME_REQUESTS)[number];

/** The request was answered; the host has already reported a failure to the user. */
export interface AnsweredMessage {
  readonly kind: 'answered';
  readonly request: RunRequest;
}

/**
 * How the host follows the run: over the engine's pipe; by reading the run's folder, because the
 * engine does not respond (`folder`) or the workspace is not trusted; or not at all, because the
 * run has ended.
 */
export type RunLink = 'engine' | 'folder' | 'untrusted' | 'ended';

export type RunRequest = 'pause' | 'resume' | 'stop';

export type PageMessage =
  | { readonly kind: 'ready' }
  /** The page shows the run of this folder: what follows is meant for it. */
  | { readonly kind: 'shown'; readonly run_dir: string }
  /** The outline is drawn; all steps are wanted. */
  | { readonly kind: 'allSteps' }
  | { readonly kind: 'request'; readonly request: RunRequest }
  /** Continue a run that has ended from its last checkpoint. */
  | { readonly kind: 'continue' }
  | { readonly kind: 'open'; readonly what: OpenTarget }
  | { readonly kind: 'next'; readonly what: NextStep }
  /** Mirror the run again. */
  | { readonly kind: 'reconnect' }
  | { readonly kind: 'runtime'; readonly what: RuntimeRequest }
  /** A key of the recipe's file. */
  | { readonly kind: 'openSetting'; readonly key: AdvisedKey }
  /** A place from the run's error. */
  | { readonly kind: 'openPlace'; readonly place: Place }
  | { readonly kind: 'copyError' }
  /** All metrics as a CSV file. */
  | { readonly kind: 'export' }
  | SavePicture
  | CopyText
  /** Something went wrong in the page: for the log. */
  | { readonly kind: 'trouble'; readonly message: string };

/** A picture of a chart, to be saved where the user chooses. */
export interface SavePicture {
  readonly kind: 'savePicture';
  /** File name without extension. */
  readonly name: string;
  /** data:image/png;base64,… */
  readonly url: string;
}

export interface CopyText {
  readonly kind: 'copyText';
  readonly text: string;
}

/** What can be done with a run that has ended. */
export const NEXT_STEPS = [
  'tryAdapter',
  'tryModel',
  'merge',
  'export',
  'compare',
  'evaluate',
  'openEvaluation',
  'runAgain',
] as const;

export type NextStep = (typeof NEXT_STEPS)[number];

/** The keys of a recipe that advice links to. */
export const ADVISED_KEYS = [
  'dataset',
  'validation_split',
  'lora.target_modules',
  'lora.lora_alpha',
  'training.learning_rate',
  'training.num_train_epochs',
  'training.max_grad_norm',
  'training.max_length',
] as const;

export type AdvisedKey = (typeof ADVISED_KEYS)[number];

/** What can be opened from the page of a run. */
export const OPEN_TARGETS = ['recipe', 'adapter', 'model', 'log', 'commit', 'changes'] as const;

export type OpenTarget = (typeof OPEN_TARGETS)[number];

/** What the x axis counts: optimizer steps, tokens so far, seconds of training. */
export const AXES = ['step', 'tokens', 'time'] as const;

export type Axis = (typeof AXES)[number];

export const TAB_IDS = ['batch', 'sources', 'events', 'recipe'] as const;

export type TabId = (typeof TAB_IDS)[number];

/** What the page keeps when the window is reloaded: the run and the user's choices. */
export interface PageState {
  readonly runDir: string;
  /** The part of the x axis that is shown; null: all of it. */
  readonly zoom: { readonly from: number; readonly to: number } | null;
  readonly scroll: number;
  /** Weight of the past in the smoothed loss, 0 to 0.99. */
  readonly smoothing: number;
  readonly axis: Axis;
  /** Whether the loss is drawn on a logarithmic axis. */
  readonly logarithmic: boolean;
  /** Whether the x axis of all charts is logarithmic. */
  readonly logarithmicX: boolean;
  /** Charts shown as tables. */
  readonly tables: readonly ChartId[];
  /** Charts that stand beside the losses. */
  readonly pinned: readonly ChartId[];
  readonly tab: TabId;
}
