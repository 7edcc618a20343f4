import type { BatchLine } from '../../shared/metrics/lines';
import type { FileFingerprint, RunRecord } from '../../shared/run';

/** Names within the folder of a plan. */
export const PLAN_FILES = {
  plan: 'plan.json',
  examples: 'examples.safetensors',
  /** The adapter that training starts with, in PEFT's format. */
  start: 'start',
} as const;

/**
 * plan.json: a training run whose examples, steps and adapter are prepared, so that
 * engine/ray/train.py needs no tokenizer. Its SHA-256 identifies all of it.
 */
export interface TrainingPlanFile {
  readonly version: 1;
  /** run.json of the run before its first step. */
  readonly run: RunRecord;
  /** The other files of the folder, by paths within it. */
  readonly files: readonly FileFingerprint[];
  /** The base's files that are loaded, by paths within its folder. */
  readonly base: readonly FileFingerprint[];
  /** The files of `start` that every checkpoint has, too. */
  readonly texts: readonly string[];
  readonly first_batch: BatchLine;
  /** What trains, in the order of optimizer.safetensors; names of the adapter's file. */
  readonly parameters: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    /** Its learning rate as a multiple of the step's. */
    readonly lr_ratio: number;
  }[];
  /** The token that rows are padded with. */
  readonly pad_id: number;
  readonly steps_per_epoch: number;
}
