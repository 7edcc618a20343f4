import type { StoredWeight } from '../../formats/layersModel/file';
import type { WeightBytes } from '../../formats/layersModel/weights';
import { LoraError } from '../../shared/errors';
import { createRandom } from '../../shared/random';
import { isObject } from '../../shared/values';
import type { LayersModelParts } from './load';
import type { RowLoss } from './losses';
import type { ModelOutput } from './output';

/** A dense layer that replaces the output layer of a model. */
export interface NewHead {
  /** The layer's name. */
  readonly layer: string;
  readonly activation: 'softmax' | 'sigmoid' | 'linear';
  /** Kernel [in, outputs]. */
  readonly kernel: Float32Array;
  readonly bias: Float32Array;
}

const ACTIVATIONS = {
  single_label: 'softmax',
  multi_label: 'sigmoid',
  regression: 'linear',
} as const satisfies Readonly<Record<RowLoss, NewHead['activation']>>;

/** Whether the outputs of a model are those that a loss is for. */
export function suits(
  loss: RowLoss,
  { activation }: Pick<ModelOutput, 'activation'>,
  { outputs, width }: { readonly outputs: number; readonly width: number },
): boolean {
  const isBinary = loss === 'single_label' && width === 2 && outputs === 1;
  if (isBinary) return activation === 'sigmoid' || activation === 'linear';
  if (outputs !== width) return false;
  if (loss === 'regression') return activation !== 'softmax';
  return activation === ACTIVATIONS[loss] || activation === 'linear';
}

/** What a new output layer is for. */
export interface HeadRequest {
  readonly loss: RowLoss;
  /** Outputs for a row. */
  readonly width: number;
  readonly seed: number;
  /** The model's, for messages. */
  readonly file: string;
}

/**
 * A new output layer, initialized as Keras initializes dense layers (Glorot and Bengio 2010): the
 * kernel uniform in ±√(6 / (in + out)), no bias.
 *
 * @throws LoraError('base') where the output is not made by a dense layer
 */
export function newHead(output: ModelOutput, { loss, width, seed, file }: HeadRequest): NewHead {
  const { dense, activation } = output;
  const isOwn = dense && (activation === 'linear' || !output.isAlone);
  if (!isOwn)
    throw new LoraError(
      'base',
      `The model's outputs do not fit the labels (${width}), and its last layer is not a dense layer that could be replaced.`,
      {
        place: { file, key: 'modelTopology' },
        fix: `Use a model whose output has ${width} numbers.`,
      },
    );
  const inputs = dense.kernel.shape[0]!;
  const bound = Math.sqrt(6 / (inputs + width));
  const random = createRandom(seed, 'head', dense.name);
  return {
    layer: dense.name,
    activation: ACTIVATIONS[loss],
    kernel: Float32Array.from({ length: inputs * width }, () => (2 * random() - 1) * bound),
    bias: new Float32Array(width),
  };
}

/** The activation of the output layer that an adapter has, by its labels. */
export const headActivation = (loss: RowLoss): NewHead['activation'] => ACTIVATIONS[loss];

/** The model with another output layer. */
export function withHead(
  { file, weights }: LayersModelParts,
  { name, kernel, bias }: { readonly name: string; readonly kernel: string; readonly bias: string },
  head: NewHead,
): LayersModelParts {
  const outputs = head.bias.length;
  const changed = new Map(weights);
  const put = (weight: string, shape: number[], data: Float32Array) =>
    changed.set(weight, stored({ name: weight, shape, dtype: 'float32' }, data));
  put(kernel, [head.kernel.length / outputs, outputs], head.kernel);
  put(bias, [outputs], head.bias);
  const settings = { units: outputs, activation: head.activation, use_bias: true };
  const topology = changedLayer(file.topology, name, settings) as typeof file.topology;
  return { file: { ...file, topology }, weights: changed };
}

const stored = (weight: StoredWeight, data: Float32Array): WeightBytes => ({
  weight,
  bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

/** A copy of a topology in which the config of one layer has other values. */
function changedLayer(
  value: unknown,
  name: string,
  settings: Readonly<Record<string, unknown>>,
): unknown {
  if (Array.isArray(value)) return value.map((item) => changedLayer(item, name, settings));
  if (!isObject(value)) return value;
  const { config, class_name } = value;
  if (class_name === 'Dense' && isObject(config) && config['name'] === name)
    return { ...value, config: { ...config, ...settings } };
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, changedLayer(item, name, settings)]),
  );
}
