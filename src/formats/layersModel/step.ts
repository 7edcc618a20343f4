import type { KnownStep } from '../../lora/layersMemory';
import type { LayersModelFile } from './file';
import { layerCalls, type LayerCall } from './shapes';
import { elementsOf } from './weights';

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * What tfjs' tape keeps of a row: every array that a layer computes. By the topology alone; or the
 * name of the layer whose shapes are not known.
 *
 * @param input Of a row, without the batch.
 */
export function layersStep(file: LayersModelFile, input: readonly number[]): KnownStep {
  const found = layerCalls(file, input);
  if ('unknown' in found) return { unknown: found.unknown.name };
  const parameters = file.groups
    .flatMap((group) => group.weights)
    .reduce((sum, weight) => sum + elementsOf(weight), 0);
  const ofRow = found.calls.reduce((sum, call) => sum + call.times * keptNumbers(call), 0);
  const largest = found.calls.reduce(
    (most, { output, times }) => Math.max(most, times * sizeOf(output)),
    0,
  );
  return { parameters, ofRow, largest };
}

/** Numbers of the dense output layer that replaces one with another number of outputs. */
export function newHeadNumbers(
  file: LayersModelFile,
  input: readonly number[],
  labels: number,
): number {
  const found = layerCalls(file, input);
  if ('unknown' in found) return 0;
  const head = found.calls.findLast(({ layer }) => layer.class_name === 'Dense');
  return head && head.output.at(-1) !== labels ? (head.input.at(-1)! + 1) * labels : 0;
}

/** Arrays of a step of a recurrent layer, in numbers of its units: gates, states and products. */
const STEP_ARRAYS: Readonly<Record<string, number>> = { SimpleRNN: 5, GRU: 20, LSTM: 30 };

/** The same of ConvLSTM2D, in images of its filters, as measured: its cell frees most arrays. */
const CONVOLUTION_STEP_ARRAYS = 24;

/** Layers that make no array of their own, or a view. */
const VIEWS = /^(?:InputLayer|Dropout|SpatialDropout1D|Gaussian\w+|Flatten|Reshape)$/;

/** Numbers of the arrays that a call of a layer computes for a row. */
function keptNumbers({ layer: { class_name, config }, input, output }: LayerCall): number {
  const size = sizeOf(output);
  if (VIEWS.test(class_name)) return 0;
  const ofStep = Object.hasOwn(STEP_ARRAYS, class_name) ? STEP_ARRAYS[class_name]! : null;
  if (ofStep !== null) return input[0]! * ofStep * output.at(-1)!;
  if (class_name === 'ConvLSTM2D') {
    const image = config['return_sequences'] === true ? sizeOf(output.slice(1)) : size;
    return input[0]! * CONVOLUTION_STEP_ARRAYS * image;
  }
  // its gradient makes two arrays more (batchNorm in tfjs-core), as does that of relu6
  if (class_name === 'BatchNormalization') return 2 * size;
  const { activation, use_bias, max_value } = config;
  const ofMask = activation === 'relu6' ? size : 0;
  // the product, with its bias, and after its activation: tfjs joins these only where it is linear
  const isLinear = typeof activation !== 'string' || activation === 'linear';
  if (!isLinear && class_name !== 'Activation') return (use_bias === false ? 2 : 3) * size + ofMask;
  return (typeof max_value === 'number' ? 2 * size : size) + ofMask;
}
