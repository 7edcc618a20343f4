import { INDEX, SINGLE } from '../../formats/huggingface';
import { elementBytes } from '../../formats/safetensors/header';
import type { OutputTensor } from './plan';

/** A weight file of the merged model. */
export interface WeightFile {
  readonly name: string;
  readonly tensors: readonly OutputTensor[];
}

/** The bytes of a tensor in a .safetensors file. */
export const tensorBytes = ({ dtype, shape }: Pick<OutputTensor, 'dtype' | 'shape'>): number =>
  shape.reduce((a, b) => a * b, elementBytes(dtype)!);

/**
 * Distributes the tensors over files: like the base, or so that no file has more than `maxBytes`
 * (unless a single tensor is larger).
 */
export function planWeightFiles(
  tensors: readonly OutputTensor[],
  maxBytes: number | null,
): WeightFile[] {
  if (maxBytes === null) {
    return likeBase(tensors);
  }
  const groups = groupBySize(tensors, maxBytes);
  return groups.map((own, i) => ({ name: shardName(i, groups.length), tensors: own }));
}

function shardName(index: number, count: number): string {
  const padded = (value: number) => String(value).padStart(5, '0');
  return count === 1 ? SINGLE : `model-${padded(index + 1)}-of-${padded(count)}.safetensors`;
}

function likeBase(tensors: readonly OutputTensor[]): WeightFile[] {
  const groups = new Map<string | null, OutputTensor[]>();
  for (const tensor of tensors) {
    groups.set(tensor.file, [...(groups.get(tensor.file) ?? []), tensor]);
  }
  return [...groups].map(([name, own], i) => ({
    name: name ?? shardName(i, groups.size),
    tensors: own,
  }));
}

function groupBySize(tensors: readonly OutputTensor[], maxBytes: number): OutputTensor[][] {
  const groups: OutputTensor[][] = [];
  let bytesInLast = Infinity;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (bytesInLast + bytes > maxBytes) {
      groups.push([]);
      bytesInLast = 0;
    }
    groups.at(-1)!.push(tensor);
    bytesInLast += bytes;
  }
  return groups;
}

/** model.safetensors.index.json; null if a single file holds everything. */
export function weightIndex(
  files: readonly WeightFile[],
): { readonly name: string; readonly text: string } | null {
  if (files.length === 1 && files[0]!.name === SINGLE) {
    return null;
  }
  const total_size = files
    .flatMap((file) => file.tensors)
    .reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  const entries = files
    .flatMap((file) => file.tensors.map((tensor) => [tensor.name, file.name] as const))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const index = { metadata: { total_size }, weight_map: Object.fromEntries(entries) };
  return { name: INDEX, text: `${JSON.stringify(index, null, 2)}\n` };
}
