import type { BaseFacts } from './costs';
import type { ColumnNames } from '../../shared/datasetSources';
import type { DatasetFacts } from './datasetFacts';
import type { HubPart, ReplaySource } from './recipeSources';
import type { DatasetCandidate } from '../../inspect/questions';
import type { KeptType } from './keptTypes';
import type { TargetModules } from './targets';

/** A base model with the batch that the rows of a dataset make. */
export interface Priced {
  readonly base: BaseFacts;
  /** Null: the rows cannot be counted. */
  readonly facts: DatasetFacts | null;
}

/** A dataset that was chosen. */
export interface ChosenDataset extends DatasetCandidate {
  /** Of the Hub: `path` is its name there, and `file` the first of its files here. */
  readonly hub?: HubPart & { readonly file: string };
}

/** The answers to the questions of Train Adapter so far. */
export interface TrainState {
  readonly base: BaseFacts | null;
  readonly dataset: ChosenDataset | null;
  /** Names of columns in the dataset, by what they are; none where these names are known. */
  readonly columns: ColumnNames;
  readonly replay: ReplaySource | null;
  /** The base with the batch of the dataset's rows, once they are counted. */
  readonly priced: Promise<Priced> | null;
  readonly r: number;
  /** The rank for as many examples as the dataset has. */
  readonly recommended: number;
  readonly target_modules: TargetModules;
  /** How the base is kept; null: not decided, so that it follows what the memory needs. */
  readonly kept: KeptType | null;
  /** Path of the recipe; null: lora.json, which doesn't exist yet. */
  readonly file: string | null;
  /** Whether the training starts at once; otherwise only the recipe is written and opened. */
  readonly start: boolean;
}

/** The number of questions, without the one that is only asked when lora.json exists. */
export const STEPS = 5;
