import { stat } from 'node:fs/promises';
import { GgufFile } from '../../formats/gguf/read';
import type { GgufValue } from '../../formats/gguf/header';
import { elementsOf, type TensorInfo } from '../../formats/tensorInfo';
import { SafetensorsFile } from '../../formats/safetensors/read';
import { LoraError } from '../../shared/errors';
import type { InspectHostMessage, TensorRow } from '../../shared/pages/inspect/protocol';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import { adapterConfigOf } from './adapterConfig';

/** An open file of tensors: its header, read once, and values on request. */
export interface TensorFile {
  readonly facts: Omit<Extract<InspectHostMessage, { kind: 'file' }>, 'kind' | 'name'>;
  /**
   * The values of a tensor.
   *
   * @throws LoraError('memory') when it is too large, LoraError('base') when it is missing or not
   *   of a floating-point type.
   */
  readF32(tensor: string): Promise<Float32Array>;
  /** Must be called once; nothing can be read after it. */
  close(): Promise<void>;
}

/** Reading more would keep the editor waiting. */
const MAX_ELEMENTS = 1 << 25;
/** Shown of a long list in the metadata, such as a vocabulary. */
const SHOWN_ELEMENTS = 16;
const SHOWN_LENGTH = 2_000;
/** Bytes of the largest safetensors header that the editor parses itself, in 50 ms. */
const MAX_HEADER = 1 << 22;

/**
 * Opens a .gguf or .safetensors file; the caller must close it.
 *
 * @throws LoraError('base') when it cannot be read or its header is invalid.
 */
export async function openTensorFile(file: string): Promise<TensorFile> {
  const { size: bytes } = await stat(file).catch((cause: unknown) => {
    throw new LoraError('base', t('The file cannot be read.'), { place: { file }, cause });
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
      metadata: Array.from(previews(SHOWN_ELEMENTS), ({ key, value, total }) => ({
        key,
        value: cut(textOf(value, total)),
      })),
      tensors: [...tensors.values()].map(rowOf),
    },
    readF32: (name) => gguf.readF32(measurable(tensors.get(name), file, name)),
    close: () => gguf.close(),
  };
}

async function openSafetensors(file: string, bytes: number): Promise<TensorFile> {
  const config = await adapterConfigOf(file);
  const source = await SafetensorsFile.open(file, 'base', MAX_HEADER);
  const header = Object.entries(source.header.metadata).map(([key, value]) => ({ key, value }));
  return {
    facts: {
      format: 'safetensors',
      bytes,
      metadata: [...config, ...header].map(({ key, value }) => ({ key, value: cut(value) })),
      tensors: [...source.tensors.values()].map(rowOf),
    },
    readF32: (name) => source.readF32(measurable(source.tensors.get(name), file, name).name),
    close: () => source.close(),
  };
}

function measurable<T extends TensorInfo>(tensor: T | undefined, file: string, name: string): T {
  if (!tensor)
    throw new LoraError('base', t('The file does not contain this tensor.'), {
      place: { file, tensor: name },
    });
  if (elementsOf(tensor.shape) <= MAX_ELEMENTS) return tensor;
  throw new LoraError(
    'memory',
    t('The tensor is too large for statistics ({0}).', formatBytes(elementsOf(tensor.shape) * 4)),
    { place: { file, tensor: name } },
  );
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

/** `total`: how many elements the array has that `value` begins. */
function textOf(value: GgufValue, total = 0): string {
  if (!Array.isArray(value)) return String(value);
  const shown = (value as readonly GgufValue[]).map((own) => textOf(own)).join(', ');
  return total > SHOWN_ELEMENTS ? t('{0}, … ({1} in total)', shown, total) : shown;
}
