import { formatSize } from '../../common/formatSize';
import type { LayersModelFile } from '../../formats/layersModel/file';
import { layerCalls, type LayerCall } from '../../formats/layersModel/shapes';
import { elementsOf } from '../../formats/layersModel/weights';
import { PROCESS } from '../../lora/memory';
import type { LayersMemory } from '../../shared/layersMemory';
import { countOf } from '../../shared/values';

/** What trains in a layers model. */
export interface LayersTrained {
  /** Factors, and the weights that train beside them. */
  readonly numbers: number;
  /** Numbers of the kernels that have factors. */
  readonly adapted: number;
  /** Labels of the rows: another number of outputs makes a new output layer. Null: not known. */
  readonly labels: number | null;
}

const F32 = 4;
/** The file's bytes, those in one array for tfjs, and the variables. */
const COPIES = 3;
/** The numbers in the model and in the run's own array, the gradients in both, and two moments. */
const TRAINED_ARRAYS = 6;
/** BA, its scaled copy and the sum with the kernel, and the gradients of these. */
const KERNEL_ARRAYS = 6;
/** The array and its gradient, which tfjs frees only at the end of the backward pass. */
const PASSES = 2;
/** Temporary arrays of the largest layer's gradient, such as a batch norm's; measured. */
const WORKING_ARRAYS = 4;

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * Memory of a training step on tfjs' tape: every array that a layer computes is kept, and so is
 * its gradient. Or the name of the layer whose shapes are not known.
 *
 * @param input Of a row, without the batch.
 */
export function estimateLayersMemory(
  file: LayersModelFile,
  input: readonly number[],
  { numbers, adapted, labels }: LayersTrained,
  rows: number,
): LayersMemory {
  const found = layerCalls(file, input);
  if ('unknown' in found) return { unknown: found.unknown.name };
  const parameters = file.groups
    .flatMap((group) => group.weights)
    .reduce((sum, weight) => sum + elementsOf(weight), 0);
  const weights = COPIES * F32 * parameters;
  const besides = labels === null ? 0 : newHeadNumbers(found.calls, labels);
  const trained = F32 * (TRAINED_ARRAYS * (numbers + besides) + KERNEL_ARRAYS * adapted);
  const ofRow = found.calls.reduce((sum, call) => sum + call.times * keptNumbers(call), 0);
  const largest = found.calls.reduce(
    (most, { output, times }) => Math.max(most, times * sizeOf(output)),
    0,
  );
  const activations = F32 * rows * (PASSES * ofRow + WORKING_ARRAYS * largest);
  return {
    rows,
    weights,
    trained,
    activations,
    process: PROCESS,
    total: weights + trained + activations + PROCESS,
  };
}

/** Of the dense output layer that replaces one with another number of outputs. */
function newHeadNumbers(calls: readonly LayerCall[], labels: number): number {
  const head = calls.findLast(({ layer }) => layer.class_name === 'Dense');
  return head && head.output.at(-1) !== labels ? (head.input.at(-1)! + 1) * labels : 0;
}

/** Arrays of a step of a recurrent layer, in numbers of its units: gates, states and products. */
const STEP_ARRAYS: Readonly<Record<string, number>> = { SimpleRNN: 5, GRU: 20, LSTM: 30 };

/** Layers that make no array of their own, or a view. */
const VIEWS = /^(?:InputLayer|Dropout|SpatialDropout1D|Gaussian\w+|Flatten|Reshape)$/;

/** Numbers of the arrays that a call of a layer computes for a row. */
function keptNumbers({ layer: { class_name, config }, input, output }: LayerCall): number {
  const size = sizeOf(output);
  if (VIEWS.test(class_name)) return 0;
  const ofStep = Object.hasOwn(STEP_ARRAYS, class_name) ? STEP_ARRAYS[class_name]! : null;
  if (ofStep !== null) return input[0]! * ofStep * output.at(-1)!;
  // its gradient makes two arrays more (batchNorm in tfjs-core), as does that of relu6
  if (class_name === 'BatchNormalization') return 2 * size;
  const { activation, use_bias, max_value } = config;
  const ofMask = activation === 'relu6' ? size : 0;
  // the product, with its bias, and after its activation: tfjs joins these only where it is linear
  const isLinear = typeof activation !== 'string' || activation === 'linear';
  if (!isLinear && class_name !== 'Activation') return (use_bias === false ? 2 : 3) * size + ofMask;
  return (typeof max_value === 'number' ? 2 * size : size) + ofMask;
}

/** "memory of a step with 16 rows: about 512 MB (…)" */
export function describeLayersMemory(
  memory: LayersMemory,
  adapted = '',
  available: number | null = null,
): string {
  if ('unknown' in memory)
    return `memory of a step: not estimated, because the shapes of the layer ${JSON.stringify(memory.unknown)} are not known`;
  const { rows, weights, trained, activations, process, total } = memory;
  const free = available === null ? '' : `, of ${formatSize(available)} free`;
  return `memory of a step with ${countOf(rows, 'row')}${adapted}: about ${formatSize(total)} (weights ${formatSize(weights)}, what trains ${formatSize(trained)}, activations ${formatSize(activations)}, the process ${formatSize(process)})${free}`;
}
