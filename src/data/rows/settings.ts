import type { Recipe } from '../../shared/recipe';

/** What rows are of, and what is done with those that cannot be learnt from as they are. */
export type RowSettings = Pick<Recipe, 'task' | 'chats' | 'unlabelled_rows'>;

/** The recipe's defaults. */
export const ROW_SETTINGS: RowSettings = {
  task: 'causal_lm',
  chats: { same_role: 'merge', assistant_first: 'drop', user_last: 'drop', system_refused: 'fold' },
  unlabelled_rows: 'error',
};
