import type { Problem } from './errors';

/** What `lora check --json` says of a recipe's rows. Lengths in tokens. */
export interface CheckedRecipe {
  readonly task: string;
  /** Null where it cannot be read: then nothing is known of tokens. */
  readonly base: string | null;
  readonly max_length: number;
  /** The training set, and the validation set where the recipe names one. */
  readonly datasets: readonly CheckedDataset[];
}

export interface CheckedDataset {
  readonly path: string;
  readonly problems: readonly Problem[];
  /** Rows that are longer than max_length. */
  readonly cut: readonly CutRow[];
  /** Rows that say what an earlier one says. */
  readonly duplicates: readonly DuplicateRow[];
  /** Null where rows cannot be read as the task wants them. */
  readonly statistics: {
    readonly examples: number;
    readonly tokens: number;
    readonly labelled_tokens: number;
    readonly longest: number;
    readonly truncated: number;
  } | null;
  readonly lengths: readonly LengthBin[];
}

/** A row that is longer than max_length. */
export interface CutRow {
  readonly line: number;
  readonly length: number;
  readonly lost: number;
}

/** A row that says what an earlier one says. */
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
