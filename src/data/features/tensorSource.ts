import { basename, dirname, join } from 'node:path';
import { openNpz } from '../../formats/npy/archive';
import { MOST_HEADER_BYTES } from '../../formats/npy/header';
import { holdsIntegers, openNpy, type NpyArray, type NpyBytes } from '../../formats/npy/read';
import { allocate, openFile, readFully, type OpenFile } from '../../formats/openFile';
import { SafetensorsFile } from '../../formats/safetensors/read';
import { LoraError } from '../../shared/errors';

/** A tensor of rows. */
export interface RowTensor {
  readonly shape: readonly number[];
  readonly holdsIntegers: boolean;
  readonly readF32: () => Promise<Float32Array>;
  /** Integers of 53 bits are exact, which float32 would round. */
  readonly readExact: () => Promise<readonly number[]>;
}

/** The tensors of a dataset. Close it. */
export interface TensorSource {
  /** Its files. */
  readonly files: readonly string[];
  /** Null: there is none of that name. */
  readonly open: (name: 'features' | 'labels') => Promise<RowTensor | null>;
  readonly close: () => Promise<void>;
}

/** Whether a dataset is a file of tensors, not a table. */
export const isTensorFile = (file: string): boolean => /\.(?:safetensors|npz|npy)$/i.test(file);

/**
 * Opens a .safetensors or .npz file with the tensors features and labels, or a .npy file of the
 * features with another of the labels beside it.
 *
 * @param label The name of the file of labels; null: that of the features with "labels" for it.
 * @throws LoraError('dataset')
 */
export function openTensors(file: string, label: string | null): Promise<TensorSource> {
  if (/\.npz$/i.test(file)) return openArchive(file);
  if (/\.npy$/i.test(file)) return openArrays(file, label);
  return openSafetensors(file);
}

async function openSafetensors(file: string): Promise<TensorSource> {
  const source = await SafetensorsFile.open(file, 'dataset');
  return {
    files: [file],
    open: (name) => Promise.resolve(safetensorsTensor(source, name)),
    close: () => source.close(),
  };
}

/** Integers, which models do not have, by their dtype. */
const INTEGERS: Readonly<Record<string, (bytes: ArrayBuffer) => Iterable<number | bigint>>> = {
  BOOL: (bytes) => new Uint8Array(bytes),
  U8: (bytes) => new Uint8Array(bytes),
  I8: (bytes) => new Int8Array(bytes),
  U16: (bytes) => new Uint16Array(bytes),
  I16: (bytes) => new Int16Array(bytes),
  U32: (bytes) => new Uint32Array(bytes),
  I32: (bytes) => new Int32Array(bytes),
  I64: (bytes) => new BigInt64Array(bytes),
};

function safetensorsTensor(source: SafetensorsFile, name: string): RowTensor | null {
  const found = source.header.tensors.get(name);
  if (!found) return null;
  const integers = Object.hasOwn(INTEGERS, found.dtype) ? INTEGERS[found.dtype] : undefined;
  const stored = async () => integers!((await source.readBytes(name)).buffer);
  return {
    shape: found.shape,
    holdsIntegers: integers !== undefined,
    readF32: async () =>
      integers ? Float32Array.from(await stored(), Number) : source.readF32(name),
    readExact: async () =>
      integers ? Array.from(await stored(), Number) : [...(await source.readF32(name))],
  };
}

async function openArchive(file: string): Promise<TensorSource> {
  const source = await openFile(file, 'dataset');
  try {
    const arrays = await openNpz(source);
    return {
      files: [file],
      open: async (name) => {
        const own = arrays.get(name);
        return own ? npyTensor(own) : null;
      },
      close: () => source.handle.close(),
    };
  } catch (error) {
    await source.handle.close();
    throw error;
  }
}

async function openArrays(file: string, label: string | null): Promise<TensorSource> {
  const files = { features: file, labels: labelsFile(file, label) };
  const opened: OpenFile[] = [];
  const close = async () => {
    for (const { handle } of opened) await handle.close();
  };
  try {
    for (const own of Object.values(files)) opened.push(await openFile(own, 'dataset'));
  } catch (error) {
    await close();
    throw error;
  }
  const [features, labels] = opened as [OpenFile, OpenFile];
  const own = { features, labels };
  return {
    files: Object.values(files),
    open: (name) => npyTensor(bytesOf(own[name])),
    close,
  };
}

/** The file of labels, in the folder of that of the features. */
function labelsFile(file: string, label: string | null): string {
  const name = label ?? basename(file).replace(/features(?!.*features)/i, 'labels');
  const isInside = basename(name) === name && /\.npy$/i.test(name) && name !== basename(file);
  if (isInside) return join(dirname(file), name);
  throw new LoraError('dataset', `It is not known which file has the labels of these rows.`, {
    place: { file, key: 'columns' },
    fix: 'Name a .npy file beside it in the recipe ("columns": {"label": "labels.npy"}), call the files features.npy and labels.npy, or write both into one .npz file.',
  });
}

const bytesOf = (source: OpenFile): NpyBytes => ({
  place: { file: source.file },
  size: source.size,
  head: async (count) => {
    const bytes = new Uint8Array(Math.min(count, source.size));
    await readFully(source, bytes, 0);
    return bytes;
  },
  from: async (start) => {
    const bytes = allocate(source.size - start, source.file, '');
    await readFully(source, bytes, start);
    return bytes;
  },
});

async function npyTensor(bytes: NpyBytes): Promise<RowTensor> {
  const array: NpyArray = await openNpy(bytes, MOST_HEADER_BYTES);
  return {
    shape: array.shape,
    holdsIntegers: holdsIntegers(array),
    readF32: async () => {
      const numbers = await array.numbers();
      return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers, Number);
    },
    readExact: async () => Array.from(await array.numbers(), Number),
  };
}
