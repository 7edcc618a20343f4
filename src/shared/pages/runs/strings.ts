import type { RunColumnId } from '../../runColumns';
import type { TableGrouping } from './protocol';

/**
 * All texts of the page with the table of runs, in English; the host translates them. {0}, {1} are
 * replaced by values.
 */
export const RUNS_STRINGS = {
  loading: 'Loading the runs…',
  none: '–',
  title: 'Runs',
  empty: 'There are no runs yet.',
  'empty.filter': 'No run matches “{0}”.',
  'filter.label': 'Filter: words, or numbers as in loss<0.4 r>=8',
  'filter.clear': 'Clear Filter',
  'filter.count': '{0} of {1} {1|run|runs}',
  'filter.names': 'Numbers that a filter can compare: {0}.',
  columns: 'Columns',
  'group.label': 'Group by',
  'group.none': 'Nothing',
  'group.r': 'Rank',
  'group.tags': 'Tag',
  'group.sweep': 'Sweep',
  'group.base': 'Base model',
  'group.dataset': 'Dataset',
  'group.state': 'State',
  'group.other': 'Other',
  'group.head': '{0}: {1} {1|run|runs}',
  'group.best': '{0}: {1} {1|run|runs}, lowest loss {2}',
  'group.best.score': '{0}: {1} {1|run|runs}, best {2} {3}',
  select: 'Select {0}',
  selected: 'Selected',
  overlay: 'Overlay Curves',
  'overlay.need': 'Select two or more runs to overlay their curves.',
  copyMarkdown: 'Copy as Markdown',
  'column.name': 'Run',
  'column.r': 'r',
  'column.alpha': 'lora_alpha',
  'column.loss': 'Loss',
  'column.score': 'Best score',
  'column.suites': 'Suite score',
  'column.metric': 'Score',
  'column.validation': 'Best validation loss',
  'column.training': 'Last training loss',
  'column.steps': 'Steps',
  'column.time': 'Time',
  'column.rate': 'Learning rate',
  'column.batch': 'Batch',
  'column.parameters': 'Trained parameters',
  'column.started': 'Started',
  'column.state': 'State',
  'column.base': 'Base model',
  'column.dataset': 'Dataset',
  'column.recipe': 'Recipe',
  'column.targets': 'Targets',
  'column.tags': 'Tags',
  'column.sweep': 'Sweep',
} as const satisfies Readonly<Record<`column.${RunColumnId}`, string>> &
  Readonly<Record<`group.${TableGrouping}`, string>> &
  Readonly<Record<string, string>>;

export type RunsStringKey = keyof typeof RUNS_STRINGS;
