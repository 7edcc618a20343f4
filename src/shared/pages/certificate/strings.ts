/**
 * All texts of the page that shows a merge's certificate, in English; the host translates them.
 * {0}, {1} are replaced by values.
 */
export const CERTIFICATE_STRINGS = {
  loading: 'Reading the merge certificate…',
  none: '–',
  fault: 'The merge certificate cannot be read',
  summary: '{0} with {1} merged into its weights, {2}',

  try: 'Try Model',
  reveal: 'Reveal in Explorer',
  modelfile: 'Create Modelfile',
  verify: 'Verify Files',
  json: 'Open as JSON',

  size: 'Size',
  'size.sub': '{0} times the base model’s {1}',
  'size.same': 'the same as the base model',
  agreement: 'Same top token',
  'agreement.sub': 'as base + adapter, on {0} test {0|prompt|prompts}',
  'agreement.none': 'not measured',
  weights: 'Largest weight difference',
  'weights.sub': 'from W + dW; root mean square: {0}',
  gap: 'Largest logit difference',
  'gap.sub': 'the largest logit is {0}',
  tensors: 'Changed tensors',
  'tensors.sub': '{0} of their values',
  tiles: 'The merged model in numbers',

  exact: 'Accuracy',
  'exact.same':
    'On the test prompts, the merged model picks the same top token as base + adapter at every position.',
  'exact.differs':
    'On the test prompts, the merged model picks the same top token as base + adapter at {0} of the positions.',
  'exact.none':
    'The merged model was not compared with base + adapter: there was not enough memory, or the comparison was turned off.',
  'exact.weights':
    'Image models are not run. {0} of the changed weights were read again and compared with W + dW.',
  'exact.rounding': 'Storing the weights changed no value by more than {0}.',
  'exact.noUpdate': 'The adapter changes nothing: its update is zero.',
  'exact.rounded':
    '{0} of the updated values are the same after rounding: their updates are too small for this data type. Stored as float32, none is lost.',
  'exact.again': 'Merge Again in float32',
  'exact.untied':
    'Output layer and embedding are now separate tensors, because the adapter changes only one of them.',
  'exact.partial': 'Modules of the adapter that do not fit the base model were left out.',

  stored: 'How the weights are stored',
  'stored.from': 'In the base model',
  'stored.to': 'In the merged model',
  'stored.count': 'Tensors',
  'stored.bytes': 'Size',
  'stored.new': 'absent',

  next: 'What to do next',
  'next.gguf':
    'The file works wherever the base model works: llama.cpp, Ollama (Create Modelfile), LM Studio. To make it smaller, quantize it with llama-quantize.',
  'next.encoder':
    'The file works in llama.cpp: llama-server --embedding serves the vectors of texts and llama-embedding prints them; llama-server --reranking serves the scores of a reranker. To make it smaller, quantize it with llama-quantize.',
  'next.folder':
    'Load the folder with transformers, vLLM or mlx-lm as you would the base model. convert_hf_to_gguf.py of llama.cpp makes a .gguf file of it.',
  'next.image':
    'Use it wherever the base model works: in Diffusers, ComfyUI and other image generation programs.',
  'next.keep': 'Keep the adapter: it is small, and with it a merge can be repeated or undone.',

  made: 'Inputs',
  'made.base': 'Base model',
  'made.adapter': 'Adapter',
  'made.formula': 'Formula',
  'made.scale': 'Scale',
  'made.created': 'Created',
  'made.files': 'Files and SHA-256',
  file: 'File',
  state: 'Now',
  'state.same': 'unchanged',
  'state.changed': 'changed',
  'state.gone': 'missing',
  input: 'input',
  output: 'merged model',
  role: 'Part',

  changes: 'Changed tensors ({0})',
  'column.name': 'Name',
  'column.dtype': 'Type',
  'column.norm': '‖dW‖',
  'column.error': 'Rounding error',
  'column.unmoved': 'Lost to rounding',
} as const;

export type CertificateStrings = Readonly<Record<keyof typeof CERTIFICATE_STRINGS, string>>;
export type CertificateStringKey = keyof CertificateStrings;
