/**
 * All texts of the page that compares two adapters, in English; the host translates them. {0}, {1}
 * are replaced by values.
 */
export const COMPARE_STRINGS = {
  loading: 'Comparing the adapters…',
  title: '{0} and {1}',
  none: '–',
  try: 'Try Both',
  curves: 'Overlay Curves',
  openDiff: 'Open as Text Diff',

  'words.equal': 'Both adapters are equal: every update is the same within float32 rounding.',
  'words.different':
    '{0} changes the model by ‖dW‖ = {1}, {2} by {3}. The difference of the two has the norm {4}, {5} of the larger one.',
  'words.same': 'They point the same way (cosine {0}).',
  'words.apart': 'They are nearly unrelated (cosine {0}).',
  'words.partly': 'They partly agree (cosine {0}).',
  'words.against': 'They work against each other (cosine {0}).',
  'words.only': 'Only in {0}: {1} {1|module|modules}.',
  'words.zero': 'The update of {0} is zero.',
  'words.dora': 'DoRA’s magnitudes, which ‖dW‖ and the cosine do not contain, differ by up to {0}.',
  'words.sameDora': 'DoRA’s magnitudes are the same.',
  'words.oneDora':
    'Only one adapter has DoRA’s magnitudes, which ‖dW‖ and the cosine do not contain.',
  'words.intruders':
    'New strong directions (intruder dimensions) in the base model’s weights: {0} from {1}, {2} from {3}.',

  'tile.a': 'A: {0}',
  'tile.b': 'B: {0}',
  'tile.norm': '‖dW‖ {0}',
  'tile.rank': 'rank {0}, effective rank {1} on average',
  'tile.cosine': 'Cosine',
  'tile.difference': '‖dW(A) − dW(B)‖',
  'tile.share': '{0} of the larger one',
  tiles: 'The two adapters',

  config: 'Settings that differ',
  'config.key': 'Setting',
  'config.same': 'All settings are the same.',

  map: 'Layer map',
  'map.quantity': 'Show',
  'map.layer': 'Layer',
  'map.other': 'Other',
  'map.cell': '{0}: {1} {2}',
  'map.absent': 'not in both adapters',
  'map.hint':
    'Use the arrow keys to move between modules; the chart beside the map shows their singular values.',
  'map.scale': 'Colours from {0} to {1}',

  'quantity.norm_a': '‖dW‖ of A',
  'quantity.norm_b': '‖dW‖ of B',
  'quantity.relative_a': '‖dW‖ / ‖W‖ of A',
  'quantity.relative_b': '‖dW‖ / ‖W‖ of B',
  'quantity.cosine': 'Cosine',
  'quantity.difference': 'Relative difference',
  'quantity.left': 'Shared output directions',
  'quantity.right': 'Shared input directions',
  'quantity.used_a': 'Effective rank of A',
  'quantity.used_b': 'Effective rank of B',
  'about.norm': 'How strongly the adapter changes the layer (Frobenius norm of s·BA).',
  'about.relative': 'How strongly, relative to the weight that it changes.',
  'about.cosine': '1: the same direction, 0: nothing in common, −1: the opposite.',
  'about.difference': '‖dW(A) − dW(B)‖ relative to the larger of the two norms.',
  'about.overlap':
    'Share of the smaller subspace of singular vectors that lies in the larger one; random subspaces of this size share {0} on average.',
  'about.used': 'Effective rank: how many of the adapter’s directions carry the update.',

  'spectrum.of': 'Singular values of {0}',
  'spectrum.axis': 'Direction',
  'spectrum.alt': 'Singular values, largest first. A: {0}. B: {1}.',
  'spectrum.used':
    '{0}: rank {1}, effective {2}; {3} {3|direction holds|directions hold} 90% of ‖dW‖², {4} {4|holds|hold} 99%',
  'spectrum.shared': 'Shared directions: output {0} (random {1}), input {2} (random {3})',
  'spectrum.amplification': 'Amplification of weak directions of W: {0} by A, {1} by B',
  'spectrum.absent': '{0} does not change this module.',

  table: 'All modules',
  filter: 'Filter modules by name',
  'table.count': '{0} of {1} {1|module|modules}',
  'column.path': 'Module',
  'column.rank': 'Rank A | B',
  'column.norm_a': '‖dW‖ A',
  'column.norm_b': '‖dW‖ B',
  'column.cosine': 'Cosine',
  'column.difference': 'Difference',
  'column.used_a': 'Effective A',
  'column.used_b': 'Effective B',
  'column.left': 'Shared output',
  'column.right': 'Shared input',
  trained: 'Trained in full: {0}',
  'trained.same': 'the same',
  'trained.differs': 'differs by {0}',
  'trained.other': 'only in one adapter, or of different shapes',
  failed: 'The comparison failed',
} as const;

export type CompareStrings = Readonly<Record<keyof typeof COMPARE_STRINGS, string>>;
export type CompareStringKey = keyof CompareStrings;
