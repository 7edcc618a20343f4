import { LoraError } from '../shared/errors';
import { tensorsOf } from './architecture/modules';
import type { BaseModel } from './baseModel';
import { canDequantise, DEQUANTISED } from './gguf/dequantise';
import { QUANTIZED_DTYPES } from './quantized/checkpoint';
import { isFloat, READABLE } from './safetensors/read';
import type { DType } from './tensorInfo';

const isReadable = (dtype: DType) => isFloat(dtype) || QUANTIZED_DTYPES.has(dtype);

/**
 * Refuses a base whose weights have a type that is not read, before any of them is.
 *
 * @throws LoraError('base') naming the first tensor.
 */
export function refuseUnreadable({ spec, weights, format, path }: BaseModel): void {
  const canRead = format === 'gguf' ? canDequantise : isReadable;
  const { body, head } = tensorsOf(spec);
  for (const { name } of [...body, ...head]) {
    const tensor = weights.tensors.get(name);
    if (!tensor || canRead(tensor.dtype)) continue;
    throw new LoraError('base', `Tensors of type ${tensor.dtype} cannot be used as weights.`, {
      place: { file: path, tensor: name },
      fix: `Use a model with one of: ${format === 'gguf' ? DEQUANTISED : READABLE}.`,
    });
  }
}
