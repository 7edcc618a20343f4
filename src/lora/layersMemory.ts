import type { LayersMemoryParts } from '../shared/layersMemory';
import type { TypeMemory } from '../shared/stepMemory';
import { PROCESS, type MemoryEstimate } from './memory';
import { MARGIN } from './stepPlan';

/** What the memory of a step of a layers model follows from, besides the rows and the adapter. */
export interface LayersStep {
  /** Numbers of all weights. */
  readonly parameters: number;
  /** Numbers of all arrays that the layers compute for a row. */
  readonly ofRow: number;
  /** Numbers of the largest output of a layer for a row. */
  readonly largest: number;
}

/** The facts of a model, or the name of the layer whose shapes are not known. */
export type KnownStep = LayersStep | { readonly unknown: string };

/** What trains in a layers model. */
export interface TrainedNumbers {
  /** Factors, and the weights that train beside them. */
  readonly numbers: number;
  /** Numbers of the kernels that have factors. */
  readonly adapted: number;
}

const F32 = 4;
/** The file's bytes, those in one array for tfjs, and the variables. */
const COPIES = 3;
/** The numbers in the model and in the run's own array; as many for gradients, and two moments. */
const PAIR = 2;
/** BA, its scaled copy and the sum with the kernel, and the gradients of these. */
const KERNEL_ARRAYS = 6;
/** The array and its gradient, which tfjs frees only at the end of the backward pass. */
const PASSES = 2;
/** Temporary arrays of the largest layer's gradient, such as a batch norm's; measured. */
const WORKING_ARRAYS = 4;

/** The memory of a step of a layers model in bytes, in the parts that other models have, too. */
export function layersEstimate(
  { parameters, ofRow, largest }: LayersStep,
  { numbers, adapted }: TrainedNumbers,
  rows: number,
): MemoryEstimate {
  const weights = F32 * COPIES * parameters;
  const adapter = F32 * PAIR * numbers;
  const activations = F32 * rows * PASSES * ofRow;
  const working = F32 * (KERNEL_ARRAYS * adapted + rows * WORKING_ARRAYS * largest) + PROCESS;
  const total = weights + 3 * adapter + activations + working;
  return { weights, adapter, gradients: adapter, optimizer: adapter, activations, working, total };
}

/** The same in the parts that `lora check` names. */
export function layersParts(
  step: LayersStep,
  trained: TrainedNumbers,
  rows: number,
): LayersMemoryParts {
  const { weights, adapter, activations, total } = layersEstimate(step, trained, rows);
  const kernels = F32 * KERNEL_ARRAYS * trained.adapted;
  const besides = F32 * rows * WORKING_ARRAYS * step.largest;
  return {
    rows,
    weights,
    trained: 3 * adapter + kernels,
    activations: activations + besides,
    process: PROCESS,
    total,
  };
}

/** Whether a step fits: tfjs' tape recomputes nothing, and knows no other type than float32. */
export const layersTypes = (bytes: number, available: number): TypeMemory[] => [
  {
    base_dtype: 'float32',
    bytes,
    recomputed_bytes: bytes,
    fit: bytes * MARGIN <= available ? 'fits' : 'exceeds',
  },
];
