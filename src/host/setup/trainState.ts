import type { BaseFacts } from './costs';
import type { DatasetCandidate } from './findDatasets';
import type { TargetModules } from './targets';

/** What Train Adapter knows so far. */
export interface TrainState {
  readonly base: BaseFacts | null;
  readonly dataset: DatasetCandidate | null;
  readonly r: number;
  readonly target_modules: TargetModules;
  /** Where the recipe goes; null: lora.json, which is still free. */
  readonly file: string | null;
}

export const STEPS = 4;
