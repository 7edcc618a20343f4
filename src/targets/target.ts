import type { Duplex } from 'node:stream';

/** What a target is: its connection, and how it starts jobs. */
export type TargetKind = 'ssh' | 'ray' | 'slurm';

/**
 * A place beyond this machine that runs jobs of the engine.
 *
 * A target keeps its files in one folder, its root: `items/<id>` holds what was sent, and
 * `jobs/<id>` the recipe of each job and the folder of its run. An item that is there is not sent
 * again. Whatever a target answers is hostile: callers bound and check it.
 *
 * Every method rejects with a LoraError('target'), or LoraError('cancelled') once `signal` is
 * aborted. The caller disposes of the target.
 */
export interface Target {
  readonly name: string;
  readonly kind: TargetKind;
  /** What the target is and has, and what is missing there. Rejects if it cannot be reached. */
  check(signal: AbortSignal): Promise<TargetReport>;
  /** Which of these items are there in full. */
  present(items: readonly BundleItem[], signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** Where its cache of the Hub has a model (owner/name), or null. Missing: it cannot tell. */
  findModel?(name: string, signal: AbortSignal): Promise<string | null>;
  /** Sends items. Nothing of an item is left under its id when sending fails. */
  put(items: readonly BundleItem[], options: PutOptions): Promise<void>;
  /** What it keeps; missing, as `clean` is, where it cannot tell. */
  usage?(signal: AbortSignal): Promise<TargetUsage>;
  /** Removes items that no job uses. Gives the ids of those that are gone. */
  clean?(items: readonly string[], signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Starts a job, which continues without this process. Starting the same job again is an error.
   * `onStep` is told what is brought first, in words: 'Downloading tensorflow-cpu 40%'.
   */
  start(job: Job, signal: AbortSignal, onStep?: (text: string) => void): Promise<JobHandle>;
  /** The jobs that the target knows, the newest first, at most `MAX_JOBS`. */
  jobs(signal: AbortSignal): Promise<readonly JobHandle[]>;
  state(handle: JobHandle, signal: AbortSignal): Promise<JobState>;
  /** The files of the job's run folder, at most `MAX_FILES`. */
  list(handle: JobHandle, signal: AbortSignal): Promise<readonly RemoteFile[]>;
  /**
   * At most `maxBytes` of a file of the run folder, from a byte offset; none beyond its end. Of a
   * path that is no such file: no bytes, or a LoraError('target').
   */
  read(handle: JobHandle, file: string, range: ByteRange, signal: AbortSignal): Promise<Uint8Array>;
  /** The SHA-256 of a file of the run folder, computed there; null where the target cannot tell. */
  hash(handle: JobHandle, file: string, signal: AbortSignal): Promise<string | null>;
  /** The target's clock, in milliseconds since 1970; null where it cannot tell. */
  clock(signal: AbortSignal): Promise<number | null>;
  /** Ends the job at once, like a killed process; a running engine is asked through `connect`. */
  stop(handle: JobHandle, signal: AbortSignal): Promise<void>;
  /** Ends the job like `stop` and removes its folder; missing where the target cannot. */
  remove?(handle: JobHandle, signal: AbortSignal): Promise<void>;
  /** A connection to the engine's pipe; null while the engine cannot be reached. */
  connect(handle: JobHandle, signal: AbortSignal): Promise<Duplex | null>;
  dispose(): void;
}

/** The largest number of files that a run folder may list. */
export const MAX_FILES = 10_000;
/** The largest number of jobs that are listed. */
export const MAX_JOBS = 1_000;

/** What a target keeps. */
export interface TargetUsage {
  readonly items: readonly StoredItem[];
  /** The newest first. */
  readonly jobs: readonly StoredJob[];
}

/** Bytes, and when it was put there, by the target's clock. */
interface Stored {
  readonly bytes: number;
  readonly changed: number;
}

/** An item that was sent. */
export interface StoredItem extends Stored {
  readonly id: string;
  readonly isComplete: boolean;
  /** Jobs that need it. */
  readonly usedBy: readonly string[];
}

/** The folder of a job. */
export interface StoredJob extends Stored {
  readonly job: string;
  readonly state: JobState['kind'];
}

/** What `check` finds. Null: unknown. */
export interface TargetReport {
  readonly machines: readonly TargetMachine[];
  /** The version of Node that jobs will use; null: it is brought with the first job. */
  readonly node: string | null;
  /** The runtime that jobs will use; null: it is brought with the first job. */
  readonly runtime: string | null;
  /** One sentence for each thing that keeps jobs from running, and what to do. */
  readonly missing: readonly string[];
}

/** One machine of a target. Sizes in bytes. */
export interface TargetMachine {
  readonly name: string;
  /** As in Node: 'linux-x64'. */
  readonly platform: string | null;
  readonly cores: number | null;
  readonly memory: number | null;
  readonly freeDisk: number | null;
  readonly gpus: readonly { readonly name: string; readonly memory: number | null }[];
}

/** Files that are sent together and are identified by their content. */
export interface BundleItem {
  /** Lower-case letters and digits: the hash of the names and contents of its files. */
  readonly id: string;
  /** For people: 'engine', 'base', 'dataset'. */
  readonly label: string;
  readonly files: readonly BundleFile[];
}

/** A file of an item. */
export interface BundleFile {
  /** Path within the item, with '/'. */
  readonly path: string;
  /** Absolute path on this machine. */
  readonly source: string;
  readonly size: number;
  readonly sha256: string;
}

/** How items are sent. */
export interface PutOptions {
  readonly signal: AbortSignal;
  /** Bytes that have been sent so far, of all items. */
  readonly onProgress: (bytes: number) => void;
}

/** A job: one run of the engine in its own folder. */
export interface Job {
  /** The run's id, in the form of `newRunId`. */
  readonly id: string;
  /** The items that it uses, the engine among them; all are present. */
  readonly items: readonly BundleItem[];
  /** The id of the item that holds dist/cli.js. */
  readonly engine: string;
  /**
   * Text of the recipe. Its paths are relative to the folder `jobs/<id>`, such as
   * `../../items/<id>/model.gguf`.
   */
  readonly recipe: string;
  /** Continue from the last checkpoint of the run folder, which an earlier job of this id left. */
  readonly resume: boolean;
  /** Present where Ray Train trains a prepared plan; the engine's item then holds train.py. */
  readonly trainer?: TrainerJob;
}

/** A training run that is prepared for Ray Train, by src/engine/rayTrain. */
export interface TrainerJob {
  /** The id of the item that holds the plan. */
  readonly plan: string;
  /** The SHA-256 of its plan.json. */
  readonly sha256: string;
  /** The folder of the base: absolute, or relative to the folder `jobs/<id>`. */
  readonly base: string;
}

/** Finds a job again, in another process too. Plain data, kept in the run folder; no secrets. */
export interface JobHandle {
  readonly job: string;
  /** What the kind of target needs: a process id, a submission id, the number of a Slurm job. */
  readonly values: Readonly<Record<string, string | number | null>>;
}

/** Where a job is. */
export type JobState =
  | { readonly kind: 'queued'; readonly reason: string | null }
  | { readonly kind: 'running' }
  /**
   * The process has ended; run.json tells how. `reason` is the target's own, if it ended it.
   * `isLost`: with its machine, so that the job can be started again with `resume`.
   */
  | {
      readonly kind: 'ended';
      readonly exitCode: number | null;
      readonly reason: string | null;
      readonly isLost: boolean;
    }
  /** The target no longer knows the job. */
  | { readonly kind: 'unknown' };

/** A file of a job's run folder. */
export interface RemoteFile {
  /** Relative to the run folder, with '/'. */
  readonly path: string;
  readonly size: number;
  /** Changes whenever the content changes other than by growing: its inode or time, for example. */
  readonly version: string;
}

/** A part of a file. */
export interface ByteRange {
  readonly offset: number;
  readonly maxBytes: number;
}
