/**
 * All texts of the page that configures rank and targets, in English; the host translates them.
 * {0}, {1} are replaced by values.
 */
export const CONFIGURE_STRINGS = {
  loading: 'Reading the recipe and its base model…',
  none: '–',
  title: 'Rank and targets of {0}',
  base: 'On {0}, {1} parameters',
  run: 'Run Recipe',
  sweep: 'Sweep Ranks…',
  unsaved: 'Unsaved changes.',
  save: 'Save',
  openRecipe: 'Open Recipe',
  openGuide: 'How to Choose a Rank',
  fault: 'The recipe cannot be read',
  missingBase: 'Base model not found',
  chooseBase: 'Choose Base Model…',
  downloadBase: 'Download Base Model…',
  time: '{0} {0|epoch|epochs}, {1} {1|step|steps}, about {2}',
  'time.steps': '{0} {0|epoch|epochs}, {1} {1|step|steps}',

  rank: 'Rank',
  r: 'Rank r',
  'r.hint': 'Each adapted layer learns an update of r directions.',
  alpha: 'lora_alpha',
  'alpha.hint': 'The update is scaled by s = {0}.',
  follow: 'Change lora_alpha with r, so that s stays the same',
  rslora: 'rsLoRA: scale by α / √r, so that high ranks keep learning',
  dora: 'DoRA: also train the length of each row of W + dW; slower, often better at low ranks',

  targets: 'Target modules',
  'targets.by': 'Group by',
  'targets.kind': 'Kind',
  'targets.layer': 'Layer',
  'targets.other': 'Outside the layers',
  'targets.count': '{0} of {1} {1|module|modules}',
  'targets.layerName': 'Layer {0}',
  'targets.none': 'Choose at least one module. Until then, the recipe is not changed.',
  'targets.unfold': 'Show the modules of {0}',

  costs: 'Cost',
  'costs.trainable': 'Trainable parameters',
  'costs.share': '{0} of the model’s {1}',
  'costs.file': 'Adapter file',
  'costs.fileSub': '{0} {0|module|modules}, in float32',
  'costs.memory': 'Peak memory',
  'costs.memorySub': '{0} available',
  'costs.full': 'Full fine-tuning',
  'costs.fullSub': '{0} times the memory, {1} times the parameters',
  'costs.batch': 'For a step of {0} {0|example|examples} of at most {1} {1|token|tokens}.',
  'costs.rows':
    'For a step of {0} {0|example|examples}; the longest row of the dataset has {1} {1|token|tokens}.',
  'costs.images.dataset': 'With images of up to {0} tokens, the largest of the dataset.',
  'costs.images.base':
    'With images of up to {0} tokens: the largest that the base and max_length allow, because the rows are not counted.',
  'costs.over': 'This is more memory than is available.',
  'costs.otherRanks': '{0} {0|module has|modules have} a different rank, set by rank_pattern.',

  'memory.title': 'Memory of a step',
  'memory.part': 'Part',
  'memory.lora': 'This adapter',
  'memory.full': 'Full fine-tuning',
  'memory.weights': 'Base model weights',
  'memory.adapter': 'Adapter',
  'memory.gradients': 'Gradients',
  'memory.optimizer': 'Optimizer',
  'memory.activations': 'Activations',
  'memory.working': 'Working memory and process',
  'memory.total': 'Total',

  'types.title': 'Memory by base_dtype',
  'types.type': 'Type',
  'types.bytes': 'Memory',
  'types.recomputed': 'With gradient checkpointing',
  'types.fit': 'On this machine',
  'types.fits.fits': 'fits',
  'types.fits.recomputed': 'fits with gradient checkpointing',
  'types.fits.exceeds': 'does not fit',

  'step.asked': 'The recipe keeps the base in {0}.',
  'step.refused':
    'The recipe asks for a type that this machine or base does not have: {0} is used.',
  'step.processor': 'auto chooses {0}, which this processor multiplies natively.',
  'step.memory': 'auto chooses {0}, because more exact types do not fit.',
  'step.plain': 'auto chooses {0}, because this processor multiplies nothing else natively.',
  'step.none': 'No layer is recomputed.',
  'step.some':
    'Gradient checkpointing recomputes {0} of {1} {1|layer|layers} in the backward pass.',

  'sizes.title': 'What fits on this machine',
  'sizes.hint':
    'A step of {0} {0|example|examples} of {1} {1|token|tokens} with r = {2} in all linear layers; {3} is available. Q8_0 and Q4_K: .gguf files that stay quantized; int8 and nf4: “quantize” in the recipe.',
  'sizes.model': 'Model',
  'sizes.fits': '{0}: fits',
  'sizes.recomputed': '{0}: fits with gradient checkpointing',
  'sizes.exceeds': '{0}: does not fit',

  'kinds.title': 'Trainable parameters per module',
  'kinds.kind': 'Kind',
  'kinds.shape': 'W (out × in)',
  'kinds.update': 'r·(out + in)',
  'kinds.whole': 'out·in',
  'kinds.share': 'Share',
  'kinds.count': 'Modules',
  'kinds.square': 'In a square layer of width d these are 2·d·r and d².',

  advice: 'Advice',
} as const;

export type ConfigureStrings = Readonly<Record<keyof typeof CONFIGURE_STRINGS, string>>;
export type ConfigureStringKey = keyof ConfigureStrings;
