import type { BaseFacts } from './costs';
import type { DatasetCandidate } from '../../inspect/questions';
import type { TargetModules } from './targets';

/** The answers to the questions of Train Adapter so far. */
export interface TrainState {
  readonly base: BaseFacts | null;
  readonly dataset: DatasetCandidate | null;
  readonly r: number;
  readonly target_modules: TargetModules;
  /** Path of the recipe; null: lora.json, which doesn't exist yet. */
  readonly file: string | null;
}

/** The number of questions, without the last one, which is only asked when lora.json exists. */
export const STEPS = 4;
