import { stat } from 'node:fs/promises';
import { fileErrorReason } from '../common/fileStatus';
import { GgufFile } from '../formats/gguf/read';
import type { GgufValue } from '../formats/gguf/header';
import type { TensorInfo } from '../formats/tensorInfo';
import { SafetensorsFile } from '../formats/safetensors/read';
import { LoraError } from '../shared/errors';
import type { TensorRow } from '../shared/pages/inspect/protocol';
import { adapterConfigOf } from './adapterConfig';
import type { MetadataValue, TensorFileFacts } from './questions';

/** An open file of tensors: its header, read once, and values on request. */
export interface TensorFile {
  readonly facts: TensorFileFacts;
  /**
   * The values of a tensor.
   *
   * @throws LoraError('base') when it is missing or not of a floating-point type.
   */
  readF32(tensor: string): Promise<Float32Array>;
  /** Must be called once; nothing can be read after it. */
  close(): Promise<void>;
}

/** Shown of a long list in the metadata, such as a vocabulary. */
const SHOWN_ELEMENTS = 16;
const SHOWN_LENGTH = 2_000;

/**
 * Opens a .gguf or .safetensors file; the caller must close it.
 *
 * @throws LoraError('base') when it cannot be read or its header is invalid.
 */
export async function openTensorFile(file: string): Promise<TensorFile> {
  const { size: bytes } = await stat(file).catch((cause: unknown) => {
    throw new LoraError('base', `The file cannot be read: ${fileErrorReason(cause)}.`, {
      place: { file },
      cause,
    });
  });
  return file.toLowerCase().endsWith('.gguf')
    ? openGguf(file, bytes)
    : openSafetensors(file, bytes);
}

async function openGguf(file: string, bytes: number): Promise<TensorFile> {
  const gguf = await GgufFile.open(file);
  const { previews, tensors } = gguf.header;
  return {
    facts: {
      format: 'gguf',
      bytes,
      metadata: Array.from(previews(SHOWN_ELEMENTS), shownOf),
      tensors: [...tensors.values()].map(rowOf),
    },
    readF32: (name) => gguf.readF32(known(tensors.get(name), file, name)),
    close: () => gguf.close(),
  };
}

async function openSafetensors(file: string, bytes: number): Promise<TensorFile> {
  const config = await adapterConfigOf(file);
  const source = await SafetensorsFile.open(file, 'base');
  const header = Object.entries(source.header.metadata).map(([key, value]) => ({ key, value }));
  return {
    facts: {
      format: 'safetensors',
      bytes,
      metadata: [...config, ...header].map(({ key, value }) => ({ key, value: cut(value) })),
      tensors: [...source.tensors.values()].map(rowOf),
    },
    readF32: (name) => source.readF32(known(source.tensors.get(name), file, name).name),
    close: () => source.close(),
  };
}

function known<T>(tensor: T | undefined, file: string, name: string): T {
  if (tensor !== undefined) return tensor;
  throw new LoraError('base', 'The file does not contain this tensor.', {
    place: { file, tensor: name },
  });
}

const rowOf = ({
  name,
  dtype,
  shape,
  start,
  end,
}: TensorInfo & { readonly start: number; readonly end: number }): TensorRow => ({
  name,
  dtype,
  shape: [...shape],
  bytes: end - start,
});

const cut = (text: string) =>
  text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;

/** `total`: how many elements the array has that `value` begins; none for other values. */
function shownOf({
  key,
  value,
  total = 0,
}: {
  readonly key: string;
  readonly value: GgufValue;
  readonly total?: number;
}): MetadataValue {
  return { key, value: cut(textOf(value)), ...(total > SHOWN_ELEMENTS && { total }) };
}

const textOf = (value: GgufValue): string =>
  Array.isArray(value) ? (value as readonly GgufValue[]).map(textOf).join(', ') : String(value);
