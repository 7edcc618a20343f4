import { tensorName } from '../../formats/peft/names';
import type { TrainedTensor } from '../../lora/adapter';
import type { Kernel } from '../../tfjs/kernels';
import type { LayerVariable } from '../../tfjs/tf';

/** A weight of the base that trains beside the factors: that of a new output layer. */
export interface TrainedWeight {
  /** In adapters: dense_3.weight, dense_3.bias. */
  readonly name: string;
  readonly variable: LayerVariable;
}

/** The name of a factor in an adapter's file. */
export const factorName = (kernel: Pick<Kernel, 'path' | 'kind'>, factor: 'A' | 'B'): string =>
  tensorName(kernel, factor);

/** A kernel is [in, out] in tfjs, a weight of PEFT [out, in]. */
export function trainedTensor(
  { name, variable }: TrainedWeight,
  data: Float32Array,
): TrainedTensor {
  const [rows, columns] = variable.shape as readonly number[];
  if (columns === undefined) return { name, shape: [rows!], data };
  return { name, shape: [columns, rows!], data: transposed(data, rows!, columns) };
}

/** [rows, columns] -> [columns, rows] */
export function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j]!;
  return result;
}
