import { createFile } from '../../common/atomicWrite';
import { HashedWriter, type TensorToWrite } from '../tensorWriter';
import { GGUF_TYPES, VALUE_TYPES } from './header';

/** One entry of the metadata; `bytes`: type and value as another file stores them. */
export type GgufEntry =
  | { readonly key: string; readonly type: 'string'; readonly value: string }
  | { readonly key: string; readonly type: 'u32' | 'f32'; readonly value: number }
  | { readonly key: string; readonly type: 'bytes'; readonly value: Uint8Array };

const DEFAULT_ALIGNMENT = 32;
const VERSION = 3;

/**
 * Writes a GGUF file (version 3, little-endian) with the tensors in the given order, each at a
 * multiple of `alignment` bytes; returns its sha256. When `alignment` is not 32, the metadata must
 * have it as `general.alignment`. Format: docs/gguf.md of ggml.
 *
 * @throws LoraError('disk'); an existing file stays.
 */
export async function writeGguf(
  file: string,
  metadata: readonly GgufEntry[],
  tensors: readonly TensorToWrite[],
  alignment = DEFAULT_ALIGNMENT,
): Promise<string> {
  let sha256 = '';
  await createFile(file, async (handle) => {
    const writer = new HashedWriter(handle);
    const pad = (length: number) => writer.write(new Uint8Array(paddingOf(length, alignment)));
    const header = headerOf(metadata, tensors, alignment);
    await writer.write(header);
    await pad(header.length);
    for (const tensor of tensors) {
      const bytes = ggufBytesOf(tensor);
      await writer.writeTensor(tensor, bytes);
      await pad(bytes);
    }
    sha256 = writer.sha256();
  });
  return sha256;
}

/**
 * The number of bytes of a tensor in a GGUF file.
 *
 * @throws RangeError when GGUF lacks its dtype, or its rows are not made of whole blocks.
 */
export function ggufBytesOf({
  name,
  dtype,
  shape,
}: Pick<TensorToWrite, 'name' | 'dtype' | 'shape'>): number {
  const { block, bytes } = typeOf(dtype);
  if ((shape.at(-1) ?? 1) % block !== 0)
    throw new RangeError(`${name}: rows of ${shape.at(-1)} are not whole blocks of ${block}`);
  return (shape.reduce((a, b) => a * b, 1) / block) * bytes;
}

function typeOf(dtype: string) {
  const found = GGUF_TYPES.get(dtype);
  if (!found) throw new RangeError(`GGUF has no type ${dtype}`);
  return found;
}

const paddingOf = (length: number, alignment: number) =>
  (alignment - (length % alignment)) % alignment;

function headerOf(
  metadata: readonly GgufEntry[],
  tensors: readonly TensorToWrite[],
  alignment: number,
): Buffer {
  const infos: Buffer[] = [];
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    infos.push(
      string(name),
      u32(shape.length),
      ...shape.toReversed().map(u64),
      u32(typeOf(dtype).type),
      u64(offset),
    );
    const size = ggufBytesOf(tensor);
    offset += size + paddingOf(size, alignment);
  }
  return Buffer.concat([
    Buffer.from('GGUF'),
    u32(VERSION),
    u64(tensors.length),
    u64(metadata.length),
    ...metadata.flatMap((entry) => [string(entry.key), valueOf(entry)]),
    ...infos,
  ]);
}

function valueOf(entry: GgufEntry): Uint8Array {
  switch (entry.type) {
    case 'string':
      return Buffer.concat([u32(VALUE_TYPES.string), string(entry.value)]);
    case 'u32':
      return Buffer.concat([u32(VALUE_TYPES.u32), u32(entry.value)]);
    case 'f32':
      return Buffer.concat([u32(VALUE_TYPES.f32), f32(entry.value)]);
    case 'bytes':
      return entry.value;
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

const string = (value: string) =>
  Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
