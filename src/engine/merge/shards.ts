import { INDEX, SINGLE } from '../../formats/huggingface';
import { SAFETENSORS_BYTES } from '../../formats/safetensors/header';
import type { OutputTensor } from './plan';

export interface OutputFile {
  readonly name: string;
  readonly tensors: readonly OutputTensor[];
}

export const bytesOf = ({ dtype, shape }: Pick<OutputTensor, 'dtype' | 'shape'>): number =>
  shape.reduce((a, b) => a * b, SAFETENSORS_BYTES.get(dtype)!);

/**
 * The files of the merged model: as the base has them, or none larger than asked (but for a tensor
 * that alone is larger).
 */
export function filesOf(tensors: readonly OutputTensor[], maxBytes: number | null): OutputFile[] {
  const groups = maxBytes === null ? byFile(tensors) : bySize(tensors, maxBytes);
  const isWhole =
    groups.length === 1 &&
    (maxBytes !== null || groups[0]!.name === null || groups[0]!.name === SINGLE);
  const number = (i: number) => String(i).padStart(5, '0');
  return groups.map(({ name, tensors: own }, i) => ({
    tensors: own,
    name: isWhole
      ? SINGLE
      : (name ?? `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`),
  }));
}

interface Group {
  readonly name: string | null;
  readonly tensors: OutputTensor[];
}

function byFile(tensors: readonly OutputTensor[]): Group[] {
  const groups = new Map<string | null, OutputTensor[]>();
  for (const tensor of tensors)
    groups.set(tensor.file, [...(groups.get(tensor.file) ?? []), tensor]);
  return [...groups].map(([name, own]) => ({ name, tensors: own }));
}

function bySize(tensors: readonly OutputTensor[], maxBytes: number): Group[] {
  const groups: { name: null; tensors: OutputTensor[]; bytes: number }[] = [];
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    const last = groups.at(-1);
    if (last && last.bytes + bytes <= maxBytes) {
      last.tensors.push(tensor);
      last.bytes += bytes;
    } else groups.push({ name: null, tensors: [tensor], bytes });
  }
  return groups;
}

/** model.safetensors.index.json; null where one file holds all. */
export function indexOf(
  files: readonly OutputFile[],
): { readonly name: string; readonly text: string } | null {
  if (files.length === 1 && files[0]!.name === SINGLE) return null;
  const total_size = files
    .flatMap((file) => file.tensors)
    .reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const weight_map = Object.fromEntries(
    files
      .flatMap((file) => file.tensors.map((tensor) => [tensor.name, file.name] as const))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return {
    name: INDEX,
    text: `${JSON.stringify({ metadata: { total_size }, weight_map }, null, 2)}\n`,
  };
}
