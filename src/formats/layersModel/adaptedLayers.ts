/** The classes of layers that LoRA can adapt. */
export const ADAPTED_LAYERS = [
  'Dense',
  'Conv1D',
  'Conv2D',
  'DepthwiseConv2D',
  'SeparableConv2D',
  'Embedding',
  'SimpleRNNCell',
  'GRUCell',
  'LSTMCell',
] as const;

export type AdaptedLayer = (typeof ADAPTED_LAYERS)[number];

export const isAdaptedLayer = (name: string): name is AdaptedLayer =>
  (ADAPTED_LAYERS as readonly string[]).includes(name);
