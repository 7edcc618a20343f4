import type { ComparedField, ScoreName, StepField } from './table';

/**
 * One line of a run's metrics.jsonl. Losses are in nats per labelled token, times in seconds of
 * training, memory in bytes.
 */
export type MetricLine = StepLine | OtherLine;

/** Everything but steps. */
export type OtherLine = EvalLine | SampleLine | CheckpointLine | ResumeLine | BatchLine;

/** Written after each optimizer step; METRICS describes its fields. */
export type StepLine = { readonly kind: 'step' } & {
  readonly [Field in StepField]: number;
} & ComparedScores;

/** Metrics of compared answers; those that a run's objective does not have are left out. */
export type ComparedScores = Readonly<Partial<Record<ComparedField, number>>>;

/** Step lines as columns of one length, steps rising; NaN where a line had no number. */
export type StepColumns = Readonly<Record<StepField, Float64Array>> &
  Readonly<Partial<Record<ComparedField, Float64Array>>>;

/** How well a model does its task; METRICS gives the range of each score. */
export type Scores = Readonly<Partial<Record<ScoreName, number>>> & ComparedScores;

/** Loss on the validation set; step 0 is before training. */
export interface EvalLine {
  readonly kind: 'eval';
  readonly step: number;
  readonly loss: number;
  readonly labelled_tokens: number;
  /** Absent in runs of older versions. */
  readonly scores?: Scores;
  /** The part of each source, where several are trained on and hold out examples. */
  readonly sources?: readonly SourceLoss[];
  readonly elapsed: number;
}

/** The loss on the examples of one source that are held out; NaN where it has none. */
export interface SourceLoss {
  readonly name: string;
  readonly loss: number;
  readonly labelled_tokens: number;
}

/** The model's greedy answer to a prompt, or its prediction for a row; step 0: before training. */
export interface SampleLine {
  readonly kind: 'sample';
  readonly step: number;
  readonly prompt: string;
  readonly completion: string;
  /** Of the row in the dataset; absent for prompts of the recipe and in runs of older versions. */
  readonly line?: number;
  /** What the model reads before the prompt. */
  readonly before?: readonly SampleMessage[];
  /** What the row teaches. */
  readonly expected?: string;
  /** Whether the completion is just that. Absent where it was cut off before it could tell. */
  readonly exact?: boolean;
}

/** A message before the one that is answered; the role "tools" lists the tools by name. */
export interface SampleMessage {
  readonly role: string;
  readonly text: string;
}

/** A checkpoint was written after this step. */
export interface CheckpointLine {
  readonly kind: 'checkpoint';
  readonly step: number;
  /** Relative to the run's folder. */
  readonly path: string;
}

/** Training continued from the checkpoint of this step: earlier lines of later steps are void. */
export interface ResumeLine {
  readonly kind: 'resume';
  readonly step: number;
}

/** A part of an example that is either trained on or context only. */
export interface BatchPiece {
  readonly text: string;
  readonly labelled: boolean;
}

/** The first batch as the model reads it, written before training. */
export interface BatchLine {
  readonly kind: 'batch';
  /** 0 */
  readonly step: number;
  /** `line`: the row's line in the dataset file. */
  readonly rows: readonly { readonly line: number; readonly pieces: readonly BatchPiece[] }[];
}
