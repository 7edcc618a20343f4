import path from 'node:path';
import { familyOf } from '../../formats/architecture/families';
import { expertCount } from '../../formats/architecture/modules';
import { canonicalNames } from '../../formats/architecture/names';
import { isPackedIn } from '../../formats/architecture/readSpec';
import { partsOf, stackedNames } from '../../formats/architecture/stackedNames';
import { openShards } from '../../formats/huggingface';
import {
  QUANTIZED_DTYPES,
  quantizedTensorsOf,
  type QuantizedTensors,
} from '../../formats/quantized/checkpoint';
import { isScaleOfPacked, packedName } from '../../formats/mxfp4';
import { SAFETENSORS_BYTES } from '../../formats/safetensors/header';
import type { SafetensorsFile } from '../../formats/safetensors/read';
import type { Shards } from '../../formats/safetensors/shards';
import type { BaseModel } from '../../formats/baseModel';
import { elementsOf, type DType } from '../../formats/tensorInfo';

/** A tensor of the base. */
export interface SourceTensor {
  /** Its name in the base's file. */
  readonly stored: string;
  /** The name of its module's parameter. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /**
   * The names of the parameters of several modules that it has one after the other, in a GGUF file.
   * Not given: one, or what the spec says of its name.
   */
  readonly parts?: readonly string[];
  /** Whether it has the transposes of what the spec says of its modules. */
  readonly isTransposed?: true;
  /** The name of its file; null for a GGUF base. */
  readonly file: string | null;
  /** The stored bytes; null if they cannot be copied as they are. */
  readonly bytes: (() => AsyncIterable<Uint8Array>) | null;
  /** `count` elements from the element `from` on, as f32. */
  readonly read: (from: number, count: number) => Promise<Float32Array>;
  /** `length` stored bytes from the byte `from` on; missing if they cannot be read apart. */
  readonly readStored?: (from: number, length: number) => Promise<Uint8Array>;
}

/** The tensors of a base that is being merged. */
export interface MergeSource {
  readonly tensors: readonly SourceTensor[];
  /** The names of the weight files; empty for a GGUF base. */
  readonly files: readonly string[];
  close(): Promise<void>;
}

/** The bytes of a tensor that are in memory at once. */
export const PART_BYTES = 16 * 2 ** 20;

/** The floating-point dtypes. */
export const FLOATS: ReadonlySet<DType> = new Set<DType>(['F64', 'F32', 'F16', 'BF16']);

/** All tensors of a base, including those that its architecture ignores. The caller closes it. */
export async function openMergeSource(base: BaseModel): Promise<MergeSource> {
  if (base.format === 'gguf') {
    return { tensors: ggufTensors(base), files: [], close: () => Promise.resolve() };
  }
  const shards = await openShards(base.path);
  const quantized = await quantizedTensorsOf(shards, base.path);
  const tensors = shardTensors(shards, base, quantized);
  return {
    tensors: isPackedIn(base.config, base.spec) ? unpackedTensors(tensors, base) : tensors,
    files: shards.files.map(({ file }) => path.basename(file)),
    close: () => shards.close(),
  };
}

function shardTensors(
  { placed }: Shards,
  base: BaseModel,
  { tensors: quantized, parts }: QuantizedTensors,
): SourceTensor[] {
  const others = [...placed].filter(([stored]) => !parts.has(stored));
  const stored = [...others.map(([name]) => name), ...quantized.keys()];
  const canonical = [...canonicalNames(stored, base.spec)];
  const names = new Map(canonical.map(([name, own]) => [own, name]));
  const dequantized = [...quantized].map(([own, { file, shape }]) => ({
    ...valuesOf(base, names.get(own) ?? own, shape),
    stored: own,
    file: path.basename(file),
  }));
  const numbers = others.map(([stored, source]): SourceTensor => {
    const name = names.get(stored) ?? stored;
    const own = sourceTensor(source, stored, name);
    const isOther = (part: string) =>
      base.replaced.has(part) ||
      QUANTIZED_DTYPES.has(base.weights.tensors.get(part)?.dtype ?? own.dtype);
    if (!(partsOf(name, base.spec) ?? [name]).some(isOther)) return own;
    const dtype = FLOATS.has(own.dtype) ? own.dtype : 'F32';
    return { ...valuesOf(base, name, own.shape), stored, dtype, file: own.file };
  });
  return [...numbers, ...dequantized];
}

/** A tensor with the base's values, which may be those of several modules. */
function valuesOf(base: BaseModel, name: string, shape: readonly number[]): SourceTensor {
  const parts = partsOf(name, base.spec);
  const [first] = parts ?? [];
  const dtype = first === undefined ? undefined : base.weights.tensors.get(first)?.dtype;
  if (!parts || !dtype) return wholeTensor(base, name);
  const size = elementsOf(shape) / parts.length;
  const read = joinedParts(parts, size, (part) => base.weights.readF32(part));
  return { stored: name, name, dtype, shape, file: null, bytes: null, read };
}

/** A tensor of a safetensors file; `name`: that of its module's parameter. */
export function sourceTensor(source: SafetensorsFile, stored: string, name = stored): SourceTensor {
  const { dtype, shape } = source.tensors.get(stored)!;
  return {
    stored,
    name,
    dtype,
    shape,
    file: path.basename(source.file),
    bytes: () => tensorParts(source, stored),
    read: (from, count) => source.readPart(stored, from, count),
    readStored: (from, length) => source.readSlice(stored, from, length),
  };
}

/** `count` elements of a tensor from the element `first` on, as a tensor. */
export function partOf(source: SourceTensor, first: number, count: number): SourceTensor {
  const { readStored, ...rest } = source;
  const width = SAFETENSORS_BYTES.get(source.dtype);
  return {
    ...rest,
    shape: [count],
    bytes: null,
    read: (from, length) => source.read(first + from, length),
    ...(readStored &&
      width !== undefined && {
        readStored: (from: number, length: number) => readStored(first * width + from, length),
      }),
  };
}

async function* tensorParts(file: SafetensorsFile, name: string): AsyncGenerator<Uint8Array> {
  const { start, end } = file.tensors.get(name)!;
  const size = end - start;
  for (let from = 0; from < size; from += PART_BYTES) {
    yield await file.readSlice(name, from, Math.min(PART_BYTES, size - from));
  }
}

/**
 * The parameters of packed experts as transformers has them once they are unpacked: bf16, and for
 * each expert the transpose of its blocks [in, out].
 */
function unpackedTensors(tensors: readonly SourceTensor[], base: BaseModel): SourceTensor[] {
  return tensors.flatMap((own) => {
    const name = packedName(own.name);
    if (name === null) return isScaleOfPacked(own.name) ? [] : [own];
    const parts = partsOf(name, base.spec)!;
    const { shape } = base.weights.tensors.get(parts[0]!)!;
    const [rows, width] = shape as [number, number];
    const read = joinedParts(parts, rows * width, async (part) =>
      transposed(await base.weights.readF32(part), rows),
    );
    return {
      name,
      stored: packedName(own.stored) ?? name,
      dtype: 'BF16',
      shape: [parts.length, width, rows],
      isTransposed: true,
      file: own.file,
      bytes: null,
      read,
    };
  });
}

/**
 * Reads of tensors of `size` elements one after the other. The last one that was read is kept until
 * its last element was the last of all.
 */
function joinedParts(
  parts: readonly string[],
  size: number,
  load: (part: string) => Promise<Float32Array>,
): SourceTensor['read'] {
  let held: { readonly index: number; readonly data: Float32Array } | null = null;
  const partAt = async (index: number) => {
    if (held?.index !== index) held = { index, data: await load(parts[index]!) };
    return held.data;
  };
  return async (from, count) => {
    const values = new Float32Array(count);
    for (let at = from; at < from + count;) {
      const index = Math.floor(at / size);
      const end = Math.min(from + count, (index + 1) * size);
      const own = await partAt(index);
      values.set(own.subarray(at - index * size, end - index * size), at - from);
      at = end;
    }
    if (from + count === parts.length * size) held = null;
    return values;
  };
}

function transposed(x: Float32Array, rows: number): Float32Array {
  const width = x.length / rows;
  const result = new Float32Array(x.length);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < width; i++) result[i * rows + row] = x[row * width + i]!;
  return result;
}

/** Experts are one tensor where transformers has them so, and else apart, as its oldest files. */
function ggufTensors(base: BaseModel): SourceTensor[] {
  const { spec, weights } = base;
  const names = familyOf(spec).translatesTargets ? [] : [...stackedNames(spec)];
  const stacked = names.flatMap((name) => {
    const parts = partsOf(name, spec) ?? [];
    const known = parts.length > 0 && parts.every((part) => weights.tensors.has(part));
    return known ? [{ name, parts }] : [];
  });
  const inStacks = new Set(stacked.flatMap(({ parts }) => parts));
  const others = [...weights.tensors.values()].filter(({ name }) => !inStacks.has(name));
  return [
    ...others.map(({ name, dtype }) => ({ ...wholeTensor(base, name), dtype })),
    ...stacked.map((own) => stackedTensor(base, own)),
  ];
}

/** The parameters of all experts as transformers has them, of packed ones each as its transpose. */
function stackedTensor(
  base: BaseModel,
  { name, parts }: { readonly name: string; readonly parts: readonly string[] },
): SourceTensor {
  const { dtype, shape } = base.weights.tensors.get(parts[0]!)!;
  const experts = expertCount(base.spec);
  const [rows = 0, ...rest] = shape;
  const ofExpert = [(rows * parts.length) / experts, ...rest];
  const isTransposed = rest.length > 0 && isPackedIn(base.config, base.spec);
  const load = async (part: string) => {
    const values = await base.weights.readF32(part);
    return isTransposed ? transposed(values, rows) : values;
  };
  return {
    stored: name,
    name,
    dtype,
    shape: [experts, ...(isTransposed ? ofExpert.toReversed() : ofExpert)],
    ...(isTransposed && { isTransposed: true as const }),
    file: null,
    bytes: null,
    read: joinedParts(parts, elementsOf(shape), load),
  };
}

/** A tensor that can only be read as a whole: it is in memory until its last element was read. */
function wholeTensor(base: BaseModel, name: string): SourceTensor {
  const { dtype, shape } = base.weights.tensors.get(name)!;
  const size = shape.reduce((a, b) => a * b, 1);
  let whole: Promise<Float32Array> | null = null;
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
      if (from + count === size) {
        whole = null;
      }
      return part;
    },
  };
}
