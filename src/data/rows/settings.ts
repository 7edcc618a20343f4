import type { ColumnNames } from '../../shared/datasetSources';
import type { Recipe } from '../../shared/recipe';
import type { RowReport } from './rowReport';

/** The task of the rows, and what happens to those that cannot be trained on as they are. */
export type RowSettings = Pick<Recipe, 'task' | 'chats' | 'unlabelled_rows'> & {
  /** Missing in recipes of older versions. */
  readonly objective?: Recipe['objective'];
  /** The names of columns in the data. */
  readonly columns?: ColumnNames | undefined;
  /** The tools of chats that have none of their own. Missing in recipes of older versions. */
  readonly tools?: Recipe['tools'];
};

/** The recipe's defaults. */
export const ROW_SETTINGS: RowSettings = {
  task: 'causal_lm',
  chats: { same_role: 'merge', assistant_first: 'drop', user_last: 'drop', system_refused: 'fold' },
  unlabelled_rows: 'error',
};

/** The row that is being read. */
export interface RowContext {
  /** From 1. */
  readonly line: number;
  readonly report: RowReport;
  readonly settings: RowSettings;
}
