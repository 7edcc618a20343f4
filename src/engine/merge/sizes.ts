import { stat } from 'node:fs/promises';
import type { BaseModel } from '../../formats/baseModel';
import type { MergeSizes, StoredWeights } from '../../shared/mergeFacts';
import type { MergeDtype } from './form';
import type { OutputTensor } from './plan';

/** A way to store a merged model, and how large it is. */
export interface MergeChoice extends MergeSizes {
  readonly form: 'gguf' | 'folder' | 'safetensors';
  readonly dtype: MergeDtype;
}

/** The weights of a merged model by their types in the base and the result, the largest first. */
export function storedWeights(
  tensors: readonly OutputTensor[],
  bytesOf: (tensor: OutputTensor) => number,
): StoredWeights[] {
  const groups = new Map<string, StoredWeights>();
  for (const tensor of tensors) {
    const key = `${tensor.from ?? ''} ${tensor.dtype}`;
    const before = groups.get(key);
    groups.set(key, {
      from: tensor.from,
      to: tensor.dtype,
      tensors: (before?.tensors ?? 0) + 1,
      updated: (before?.updated ?? 0) + Number(isUpdated(tensor)),
      bytes: (before?.bytes ?? 0) + bytesOf(tensor),
    });
  }
  return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
}

const isUpdated = ({ change }: OutputTensor): boolean =>
  change.kind !== 'copied' && change.kind !== 'converted';

/** The size of the result beside that of the base's weight files. */
export async function mergeSizes(
  { weight_files }: Pick<BaseModel, 'weight_files'>,
  { bytes, stored }: { readonly bytes: number; readonly stored: readonly StoredWeights[] },
): Promise<MergeSizes> {
  const files = await Promise.all(weight_files.map(async (file) => (await stat(file)).size));
  return { base_bytes: files.reduce((a, b) => a + b, 0), bytes, stored: [...stored] };
}
