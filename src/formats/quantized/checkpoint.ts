import type { Shards } from '../safetensors/shards';
import type { DType } from '../tensorInfo';
import { bitsAndBytesTensors } from './bitsAndBytes';
import type { QuantizedTensor } from './matrix';
import { QuantizedFiles } from './storedTensors';
import { packedTensors } from './packed';
import { torchAoTensors } from './torchAo';

/** Types of weights that bitsandbytes, torchao, GPTQ and AWQ quantized. */
export const QUANTIZED_DTYPES: ReadonlySet<DType> = new Set<DType>(['NF4', 'FP4', 'INT8']);

/** The quantized matrices of a checkpoint, by the names of their weights. */
export interface QuantizedTensors {
  readonly tensors: ReadonlyMap<string, QuantizedTensor>;
  /** The names of the stored tensors that they are made of. */
  readonly parts: ReadonlySet<string>;
}

/**
 * Finds the matrices that bitsandbytes, torchao, GPTQ or AWQ quantized. Reads their descriptions
 * only.
 *
 * @throws LoraError('base') naming file and tensor, when one is damaged or not supported.
 */
export async function quantizedTensorsOf(
  { placed }: Pick<Shards, 'placed'>,
  folder: string,
): Promise<QuantizedTensors> {
  const files = new QuantizedFiles(placed, folder);
  const found = [
    ...(await bitsAndBytesTensors(files)),
    ...torchAoTensors(files),
    ...(await packedTensors(files)),
  ];
  return { tensors: new Map(found), parts: files.taken };
}
