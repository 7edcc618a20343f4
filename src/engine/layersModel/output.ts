import type { OwnLayer } from '../../tfjs/kernels';
import type { LayersModel, LayerVariable, SymbolicTensor } from '../../tfjs/tf';

/** Fields of a layer that tfjs' types do not declare. */
type OutputLayer = OwnLayer & {
  activation?: { getClassName(): string; apply(x: unknown): unknown } | null;
  outputs?: readonly SymbolicTensor[];
  kernel?: LayerVariable | null;
  bias?: LayerVariable | null;
  readonly inboundNodes: readonly { readonly inboundLayers: readonly OutputLayer[] }[];
};

/** Where the numbers of a model's output come from. */
export interface ModelOutput {
  /** The activation that makes them: softmax, sigmoid, linear, … */
  readonly activation: string;
  /** The dense layer before it; null: another kind of layer. */
  readonly dense: DenseOutput | null;
  /** Whether a layer of its own makes the activation. */
  readonly isAlone: boolean;
  /** A layer that makes the output and that the model calls more than once; null: there is none. */
  readonly shared: string | null;
  /** Makes the model give what the activation gets; returns how to undo that. */
  readonly withoutActivation: () => () => void;
}

/** The last dense layer of a model. */
export interface DenseOutput {
  readonly name: string;
  readonly kernel: LayerVariable;
  readonly bias: LayerVariable | null;
}

/** Layers that change no number of their input, or none outside of training. */
const UNCHANGED: ReadonlySet<string> = new Set([
  'ActivityRegularization',
  'Dropout',
  'Flatten',
  'GaussianNoise',
  'Reshape',
]);

/** Finds the layers that make the output of a model with one output. */
export function outputOf(model: LayersModel): ModelOutput {
  let layer = lastLayer(model.outputs[0]!.sourceLayer as unknown as OutputLayer);
  while (UNCHANGED.has(layer.getClassName())) layer = before(layer) ?? layer;
  const activator = layer;
  const isAlone = ['Activation', 'Softmax'].includes(layer.getClassName());
  const inner = isAlone ? before(layer) : layer;
  return {
    activation: activationOf(activator),
    dense: inner && denseOf(inner),
    isAlone,
    shared: [activator, inner].find((own) => own && own.inboundNodes.length > 1)?.name ?? null,
    withoutActivation: () => linear(activator),
  };
}

/** Of a model in a model, its own last layer. */
function lastLayer(layer: OutputLayer): OutputLayer {
  const output = layer.layers && layer.outputs?.[0];
  return output ? lastLayer(output.sourceLayer as unknown as OutputLayer) : layer;
}

function before(layer: OutputLayer): OutputLayer | null {
  const inner = layer.inboundNodes[0]?.inboundLayers[0];
  return inner ? lastLayer(inner) : null;
}

const activationOf = (layer: OutputLayer): string =>
  layer.getClassName() === 'Softmax' ? 'softmax' : (layer.activation?.getClassName() ?? 'linear');

function denseOf(layer: OutputLayer): DenseOutput | null {
  const { name, kernel, bias = null } = layer;
  return layer.getClassName() === 'Dense' && kernel ? { name, kernel, bias } : null;
}

function linear(layer: OutputLayer): () => void {
  if (layer.getClassName() === 'Softmax') {
    layer.call = (inputs) => (Array.isArray(inputs) ? (inputs[0] as unknown) : inputs);
    return () => {
      delete (layer as Partial<OutputLayer>).call;
    };
  }
  const { activation = null } = layer;
  layer.activation = LINEAR;
  return () => {
    layer.activation = activation;
  };
}

const LINEAR = { getClassName: () => 'linear', apply: (x: unknown) => x };
