import type { ScoreName } from '../metrics/table';

/** The texts of every page with charts, in English. {0}, {1} are replaced by values. */
export const CHART_STRINGS = {
  smoothing: 'Smoothing',
  'smoothing.off': 'off',
  logarithmic: 'Logarithmic loss',
  logarithmicX: 'Logarithmic X axis',
  axis: 'X axis',
  'axis.step': 'Step',
  'axis.tokens': 'Tokens',
  'axis.time': 'Time',
  'at.step': 'step {0}',
  'at.tokens': '{0} {0|token|tokens}',
  'at.time': 'after {0}',
  'range.step': 'Steps {0} to {1}',
  'range.tokens': '{0} to {1} tokens',
  'range.time': '{0} to {1}',
  'zoom.reset': 'Show All',
  'chart.save': 'Save as picture: {0}',
  'chart.value': '{0} {1}',
  'chart.empty': 'No values yet',
  'chart.keys':
    'Use the arrow keys to move along the values, plus and minus to zoom, Escape to show all.',
  copyMarkdown: 'Copy as Markdown',
} as const;

/** Names of the scores of a validation set. */
export const SCORE_STRINGS = {
  'series.perplexity': 'perplexity',
  'series.calls_right': 'calls all right',
  'series.calls_parsed': 'calls that parse',
  'series.calls_named': 'calls of the right tools',
  'series.calls_arguments': 'calls with equal arguments',
  'series.accuracy': 'accuracy',
  'series.f1': 'F1',
  'series.rmse': 'root mean squared error',
  'series.pearson': 'correlation',
  'series.cosine': 'cosine of pairs',
  'series.retrieval': 'nearest neighbour is the positive',
  'series.spearman': 'rank correlation',
  'series.ndcg_at_10': 'NDCG@10',
  'series.mrr_at_10': 'MRR@10',
  'series.recall_at_10': 'recall@10',
  'series.general_loss': 'general text',
} as const satisfies Readonly<Record<`series.${ScoreName}`, string>>;

/** Names of the states of a run. */
export const STATE_STRINGS = {
  'state.preparing': 'Preparing',
  'state.running': 'Running',
  'state.paused': 'Paused',
  'state.stopped': 'Stopped',
  'state.completed': 'Completed',
  'state.failed': 'Failed',
  'state.interrupted': 'Interrupted',
} as const;
