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
