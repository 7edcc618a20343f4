import type { CurveId } from '../../metrics/table';
import { CHART_STRINGS, SCORE_STRINGS, STATE_STRINGS } from '../chartStrings';

/**
 * All texts of the page that overlays the curves of runs, in English; the host translates them.
 * {0}, {1} are replaced by values.
 */
export const OVERLAY_STRINGS = {
  ...CHART_STRINGS,
  ...STATE_STRINGS,
  ...SCORE_STRINGS,

  loading: 'Loading the runs…',
  none: '–',
  empty: 'No run of the sweep has started yet.',
  chart: 'Curves',
  'chart.label': '{0} of {1} {1|run|runs}, a line chart. {2}',
  show: 'Show',
  'quantity.validation': 'Validation loss',
  'quantity.smoothed': 'Training loss, smoothed',
  'quantity.loss': 'Training loss',
  'quantity.learning_rate': 'Learning rate',
  'quantity.grad_norm': 'Gradient norm',
  'quantity.tokens_per_second': 'Tokens per second',
  'quantity.memory': 'Memory',
  legend: 'Runs: select one to hide or show it',
  waiting: '{0} more {0|is|are} queued.',

  'sweep.words': 'How low can the rank go?',
  'sweep.enough':
    'r = {0} is enough: its best validation loss, {1}, is within {2} of the lowest, {3} at r = {4}.',
  'sweep.more':
    'Higher ranks still help: r = {0} has the lowest validation loss, {1}, and no lower rank comes within {2} of it.',
  'sweep.enough.score':
    'r = {0} is enough: its {5}, {1}, is within {2} of the best, {3} at r = {4}.',
  'sweep.more.score':
    'Higher ranks still help: r = {0} has the best {3}, {1}, and no lower rank comes within {2} of it.',
  'sweep.early': 'The answer appears here once two runs have finished with a validation loss.',
  'sweep.so_far': '{0} of {1} {1|run|runs} finished. So far: {2}',
  'sweep.left_out': 'Not counted, because not finished: {0}.',
  'sweep.question': 'Which values do best?',
  'sweep.lowest': '{0} has the lowest validation loss, {1}.',
  'sweep.best': '{0} has the best {2}, {1}.',
  'sweep.near': 'Within {0} of it: {1}.',
  'sweep.missing': '{0} {0|run|runs} of the sweep {0|has|have} not been started.',
  'tune.question': 'Which values are best within the budget?',
  'tune.best': 'So far {0}: {1} at rung {2}.',
  'tune.rungs':
    'A run pauses at each rung; of every three that reach it, the best continues to the next.',
  'tune.range': 'Loss over learning rates',
  'tune.range.label': 'The smoothed loss of the range test, from {0} to {1}.',
  'tune.range.suggested': 'Dashed line: the suggested rate, {0}.',
  'sweep.chart': 'Best validation loss by {0}',
  'sweep.chart.score': 'Best {1} by {0}',
  'sweep.chart.label': '{0}: {1}',
  'sweep.value': '{0}: {1}',
  'sweep.limit': 'Dashed line: within {0} of the lowest loss.',
  'sweep.limit.score': 'Dashed line: within {0} of the best score.',
  ranks: 'Best validation loss by rank',
  'ranks.score': 'Best {0} by rank',
  'ranks.value': 'r = {0}: {1}',
  'ranks.limit': 'Dashed line: within {0} of the lowest loss, which counts as enough.',
  'ranks.limit.score': 'Dashed line: within {0} of the best score, which counts as enough.',
  'ranks.open': 'Hollow points: the run has not finished, so its loss can still change.',

  table: 'Table',
  'column.run': 'Run',
  'column.r': 'r',
  'column.place': 'Place',
  'column.rung': 'Rung',
  'column.parameters': 'Parameters',
  'column.best': 'Best {0}',
  'column.validation': 'Best validation loss',
  'column.at': 'at step',
  'column.loss': 'Last loss',
  'column.time': 'Time',
  'column.speed': 'Tokens/s',
  'column.memory': 'Peak memory',
  'column.state': 'State',
} as const satisfies Readonly<Record<`quantity.${CurveId}`, string>> &
  Readonly<Record<string, string>>;

export type OverlayStringKey = keyof typeof OVERLAY_STRINGS;

export type OverlayStrings = Readonly<Record<OverlayStringKey, string>>;
