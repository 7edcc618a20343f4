/**
 * All texts of the page that shows a file of tensors, in English; the host translates them. {0},
 * {1} are replaced by values.
 */
export const INSPECT_STRINGS = {
  loading: 'Reading the file’s header…',
  none: '–',
  fault: 'The file cannot be read',
  summary: '{0}: {1} {1|tensor|tensors}, {2} {2|number|numbers}, {3}',
  findings: 'About the adapter',
  metadata: 'Metadata ({0})',
  key: 'Key',
  value: 'Value',
  tensors: 'Tensors',
  filter: 'Filter tensors by name',
  count: '{0} of {1} {1|tensor|tensors}',
  more: 'Only the first {0} are shown. Use the filter to find others.',
  'column.name': 'Name',
  'column.dtype': 'Type',
  'column.shape': 'Shape',
  'column.numbers': 'Numbers',
  'column.bytes': 'Size',
  values: 'Values',
  'values.of': 'Values of {0}',
  choose: 'Choose a tensor to see its values.',
  measuring: 'Reading the values…',
  min: 'Smallest',
  max: 'Largest',
  mean: 'Mean',
  deviation: 'Standard deviation',
  norm: 'Norm (Frobenius)',
  zeros: 'Zeros',
  extremes: 'More than 6 deviations from the mean',
  notNumbers: 'NaN or infinite',
  histogram: 'Histogram',
  'histogram.scale':
    'Logarithmic counts, up to {0} in a bar. The line is the mean, the band one standard deviation.',
  'histogram.alt': 'Distribution of the values from {0} to {1}; most are around {2}',
} as const;

export type InspectStrings = Readonly<Record<keyof typeof INSPECT_STRINGS, string>>;
export type InspectStringKey = keyof InspectStrings;
