import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { LayersModelFile } from './file';
import { namesOfCalls, topologyLayers } from './modules';

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** The classes of layers and the activations of TensorFlow.js 4.22.0, which a test compares. */
export const TFJS_CLASSES: ReadonlySet<string> = new Set([
  ...words(`Activation Add AlphaDropout Average AveragePooling1D AveragePooling2D AveragePooling3D
    BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D Conv2D
    Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM2D ConvLSTM2DCell Cropping2D Dense
    DepthwiseConv2D Dot Dropout ELU Embedding Flatten Functional GRU GRUCell GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D
    GlobalMaxPooling2D InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D
    MaxPooling2D MaxPooling3D Maximum Minimum Model Multiply PReLU Permute RNN RandomWidth ReLU
    RepeatVector Rescaling Reshape Resizing SeparableConv2D Sequential SimpleRNN SimpleRNNCell
    Softmax SpatialDropout1D StackedRNNCells ThresholdedReLU TimeDistributed UpSampling2D
    ZeroPadding2D`),
  ...words(`elu selu relu relu6 linear sigmoid hardSigmoid softplus softsign tanh softmax logSoftmax
    gelu gelu_new mish swish`),
]);

/** Keys of a layer that name a function of tfjs. */
const FUNCTIONS = ['activation', 'recurrent_activation'] as const;

/**
 * @param has Whether tfjs has a class or an activation.
 * @throws LoraError('base') for a layer or activation that is not one of tfjs' own.
 */
export function refuseUnknownClasses(
  file: LayersModelFile,
  has: (name: string) => boolean = (name) => TFJS_CLASSES.has(name),
): void {
  const refuse = (layer: string, what: string) =>
    new LoraError('base', `The layer ${JSON.stringify(layer)} ${what}.`, {
      place: { file: file.path, key: 'modelTopology' },
      fix: 'Only layers of TensorFlow.js itself are run: replace the layer, and save the model again.',
    });
  for (const { name, class_name, config } of topologyLayers(file)) {
    if (!has(class_name))
      throw refuse(
        name,
        `is of the class ${JSON.stringify(class_name)}, which TensorFlow.js does not have`,
      );
    for (const key of FUNCTIONS) {
      const value = config[key];
      const used = isObject(value) ? value['class_name'] : value;
      if (typeof used !== 'string' || has(camelCase(used))) continue;
      throw refuse(
        name,
        `has the ${key.replace('_', ' ')} ${JSON.stringify(used)}, which TensorFlow.js does not have`,
      );
    }
  }
}

/** hard_sigmoid, as Keras writes it -> hardSigmoid, as tfjs reads it: it never finds gelu_new */
const camelCase = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** @throws LoraError('base') for a model with several inputs or outputs. */
export function refuseSeveral(
  file: string,
  { inputs, outputs }: { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
): void {
  for (const [what, names] of [
    ['inputs', inputs],
    ['outputs', outputs],
  ] as const)
    if (names.length !== 1)
      throw new LoraError(
        'base',
        `The model has ${names.length} ${what} (${names.join(', ')}); only models with one are trained.`,
        {
          place: { file, key: 'modelTopology' },
          fix: 'Make a model with one input and one output of it.',
        },
      );
}

/**
 * What the topology alone says against training a model.
 *
 * @throws LoraError('base') naming the layer, or the inputs or outputs
 */
export function checkTopology(file: LayersModelFile): void {
  refuseUnknownClasses(file);
  const { config } = file.topology;
  const { input_layers, output_layers } = isObject(config) ? config : {};
  // a sequential model names none
  const [inputs, outputs] = [namesOfCalls(input_layers), namesOfCalls(output_layers)];
  if (inputs.length > 0 && outputs.length > 0) refuseSeveral(file.path, { inputs, outputs });
}
