import { canonicalNames } from '../../formats/architecture/names';
import { fromBF16, fromF16, fromF64 } from '../../formats/floats';
import { openShards, type Shards } from '../../formats/huggingface';
import type { SafetensorsFile } from '../../formats/safetensors/read';
import { SAFETENSORS_BYTES } from '../../formats/safetensors/header';
import type { BaseModel } from '../../formats/baseModel';
import type { DType } from '../../formats/tensorInfo';

/** A tensor of the base on its way into the merged model. */
export interface SourceTensor {
  /** As the base's file calls it. */
  readonly stored: string;
  /** As its module is called. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Name of its file; null of a GGUF base. */
  readonly file: string | null;
  /** The bytes as they are stored; null where they are quantised. */
  readonly bytes: (() => AsyncIterable<Uint8Array>) | null;
  /** Widened to f32, some elements of it: `from` and `count` in elements. */
  readonly read: (from: number, count: number) => Promise<Float32Array>;
}

export interface MergeSource {
  readonly tensors: readonly SourceTensor[];
  /** Names of the weight files; empty of a GGUF base. */
  readonly files: readonly string[];
  close(): Promise<void>;
}

/** Bytes of a tensor that are in memory at once. */
export const PART = 16 * 2 ** 20;

export const FLOATS: ReadonlySet<DType> = new Set<DType>(['F64', 'F32', 'F16', 'BF16']);

/** All tensors of a base, also those that the architecture does not name. */
export async function openMergeSource(base: BaseModel): Promise<MergeSource> {
  if (base.format === 'gguf')
    return { tensors: dequantised(base), files: [], close: () => Promise.resolve() };
  const shards = await openShards(base.path);
  return {
    tensors: ofShards(shards, base),
    files: shards.files.map(({ file }) => nameOf(file)),
    close: () => shards.close(),
  };
}

const nameOf = (file: string) =>
  file.slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1);

function ofShards({ placed }: Shards, base: BaseModel): SourceTensor[] {
  const names = new Map(
    [...canonicalNames(placed.keys(), base.spec)].map(([name, stored]) => [stored, name]),
  );
  return [...placed].map(([stored, file]) => {
    const { dtype, shape } = file.tensors.get(stored)!;
    const name = names.get(stored) ?? stored;
    if (base.replaced.has(name))
      return {
        ...inMemory(base, name),
        stored,
        dtype: FLOATS.has(dtype) ? dtype : 'F32',
        file: nameOf(file.file),
      };
    return {
      stored,
      name,
      dtype,
      shape,
      file: nameOf(file.file),
      bytes: () => partsOf(file, stored),
      read: (from, count) => widened(file, stored, from, count),
    };
  });
}

async function* partsOf(file: SafetensorsFile, name: string): AsyncGenerator<Uint8Array> {
  const { start, end } = file.tensors.get(name)!;
  for (let from = 0; from < end - start; from += PART)
    yield await file.readSlice(name, from, Math.min(PART, end - start - from));
}

async function widened(
  file: SafetensorsFile,
  name: string,
  from: number,
  count: number,
): Promise<Float32Array> {
  const { dtype } = file.tensors.get(name)!;
  const size = SAFETENSORS_BYTES.get(dtype)!;
  const { buffer } = await file.readSlice(name, from * size, count * size);
  switch (dtype) {
    case 'BF16':
      return fromBF16(new Uint16Array(buffer));
    case 'F16':
      return fromF16(new Uint16Array(buffer));
    case 'F64':
      return fromF64(new Float64Array(buffer));
    default:
      return new Float32Array(buffer);
  }
}

function dequantised(base: BaseModel): SourceTensor[] {
  return [...base.weights.tensors.values()].map(({ name, dtype }) => ({
    ...inMemory(base, name),
    dtype,
  }));
}

/** A tensor that can only be read whole. */
function inMemory(base: BaseModel, name: string): SourceTensor {
  const { dtype, shape } = base.weights.tensors.get(name)!;
  let whole: Promise<Float32Array> | null = null;
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    stored: name,
    name,
    dtype,
    shape,
    file: null,
    bytes: null,
    read: async (from, count) => {
      whole ??= base.weights.readF32(name);
      const part = (await whole).slice(from, from + count);
      if (from + count === size) whole = null; // read in order: nothing comes after
      return part;
    },
  };
}
