import type { ImageCounts } from './imageCounts';
import type { RecipeAdvice } from './advice/recipeAdvice';
import type { SourceRecord } from './run';
import type { LayersMemory } from './layersMemory';
import type { StepMemory } from './stepMemory';
import type { Problem } from './errors';

/** The result of `lora check --json`: a report on a recipe and its rows. Lengths are in tokens. */
export interface CheckedRecipe {
  readonly task: string;
  /** Null if it cannot be read; then nothing is known about tokens. */
  readonly base: string | null;
  readonly max_length: number;
  /** The most tokens of a row: max_length, or fewer where the model supports fewer. */
  readonly limit: number;
  /** What a training run would refuse or warn of, apart from rows. */
  readonly problems: readonly Problem[];
  /** The files of the training set, then those of the validation set if the recipe names one. */
  readonly datasets: readonly CheckedDataset[];
  /** The sources of the training set, before any of it is held out; empty without a base. */
  readonly sources?: readonly SourceRecord[];
  /** The memory of a step; only where all rows and the adapter can be read. */
  readonly memory?: StepMemory;
  /** Instead of it for a layers model. */
  readonly layers_memory?: LayersMemory;
  /** Suggestions, which are not problems. */
  readonly advice?: readonly RecipeAdvice[];
}

/** The report on one dataset. */
export interface CheckedDataset {
  readonly path: string;
  /** Without it, the first is trained on, and the others are held out. */
  readonly set?: 'train' | 'validation';
  readonly problems: readonly Problem[];
  /** Rows that are left out because they have errors (skip_faulty_rows). */
  readonly skipped_rows: number;
  /** Rows that the list beside the dataset leaves out. */
  readonly excluded_rows: number;
  /** The first of the rows that are longer than max_length; statistics.truncated counts all. */
  readonly cut: readonly CutRow[];
  /** The first of the rows with the same content as an earlier one. */
  readonly duplicates: readonly DuplicateRow[];
  /** The number of all of them. */
  readonly duplicate_rows: number;
  /** Null if the rows do not have the form that the task requires. */
  readonly statistics: {
    readonly examples: number;
    readonly tokens: number;
    readonly labelled_tokens: number;
    readonly longest: number;
    readonly truncated: number;
    /** The most sequences that the model reads for one row. */
    readonly sequences: number;
    /** Those in all texts. Not given: there are none. */
    readonly images?: ImageCounts;
  } | null;
  readonly lengths: readonly LengthBin[];
}

/** A row that is longer than the limit, and how many tokens it loses. */
export interface CutRow {
  readonly line: number;
  readonly length: number;
  readonly lost: number;
}

/** A row with the same content as the earlier row at line `first`. */
export interface DuplicateRow {
  readonly line: number;
  readonly first: number;
}

/** How many rows have from `from` to `to` tokens. */
export interface LengthBin {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

/** The files that are trained on. */
export const trainedOn = <D extends Pick<CheckedDataset, 'set'>>(datasets: readonly D[]): D[] =>
  datasets.filter(({ set }, i) => (set ?? (i === 0 ? 'train' : 'validation')) === 'train');
