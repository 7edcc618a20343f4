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
  | AnsweredMessage;

/** Everything there is now: the answer to `ready`, and again when what was sent no longer holds. */
export interface SnapshotMessage {
  readonly kind: 'snapshot';
  /** null until the engine has written run.json. */
  readonly run: RunRecord | null;
  readonly status: EngineStatus;
  readonly progress: EngineProgress | null;
  readonly link: RunLink;
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

/** The request was answered, well or not; a failure was told to the user by the host. */
export interface AnsweredMessage {
  readonly kind: 'answered';
  readonly request: RunRequest;
}

/**
 * How the host follows the run: over the engine's pipe, by reading the run's folder (since the
 * engine does not answer, or must not be asked in a workspace that is not trusted), or not at all
 * since it has ended.
 */
export type RunLink = 'engine' | 'folder' | 'untrusted' | 'ended';

export type RunRequest = 'pause' | 'resume' | 'stop';

export type PageMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'request'; readonly request: RunRequest }
  /** Train on from the last checkpoint of a run that has ended. */
  | { readonly kind: 'continue' }
  | { readonly kind: 'open'; readonly what: OpenTarget }
  /** A place that the run's error names. */
  | { readonly kind: 'openPlace'; readonly place: Place }
  | { readonly kind: 'copyError' }
  /** All metrics as a CSV file. */
  | { readonly kind: 'export' }
  | SavePicture
  | CopyText
  /** Something went wrong in the page: for the log. */
  | { readonly kind: 'trouble'; readonly message: string };

/** A chart as it is drawn, to be saved where the user says. */
export interface SavePicture {
  readonly kind: 'savePicture';
  /** Of the file, without its ending. */
  readonly name: string;
  /** data:image/png;base64,… */
  readonly url: string;
}

export interface CopyText {
  readonly kind: 'copyText';
  readonly text: string;
}

export type OpenTarget = 'recipe' | 'adapter' | 'model' | 'log';

/** What charts run along: optimizer steps, tokens seen, seconds of training. */
export const AXES = ['step', 'tokens', 'time'] as const;

export type Axis = (typeof AXES)[number];

export const TAB_IDS = ['samples', 'batch', 'events', 'recipe'] as const;

export type TabId = (typeof TAB_IDS)[number];

/** What the page keeps through a reload of the window: which run, and the user's choices. */
export interface PageState {
  readonly runDir: string;
  /** What is shown of the x axis; null: all. */
  readonly zoom: { readonly from: number; readonly to: number } | null;
  readonly scroll: number;
  /** Weight of the past in the smoothed loss, 0 to 0.99. */
  readonly smoothing: number;
  readonly axis: Axis;
  /** Whether the loss is drawn on a logarithmic axis. */
  readonly logarithmic: boolean;
  /** Charts shown as tables. */
  readonly tables: readonly ChartId[];
  readonly tab: TabId;
}
