import { createHash } from 'node:crypto';
import { replaceFile, writeAll } from '../../common/atomicWrite';
import type { TensorToWrite } from '../safetensors/write';
import { GGUF_TYPES } from './header';

/**
 * A value of the metadata, by the type that readers expect of it; bytes: as another file has it,
 * type and all.
 */
export type GgufEntry =
  | { readonly key: string; readonly type: 'string'; readonly value: string }
  | { readonly key: string; readonly type: 'u32' | 'f32'; readonly value: number }
  | { readonly key: string; readonly type: 'bytes'; readonly value: Uint8Array };

const ALIGNMENT = 32;
const VERSION = 3;

/**
 * Writes a GGUF file, tensors in the order given, each at a multiple of 32 bytes. Under a temporary
 * name until it is whole. Gives the file's sha256. Errors: LoraError('disk').
 */
export async function writeGguf(
  file: string,
  metadata: readonly GgufEntry[],
  tensors: readonly TensorToWrite[],
  alignment = ALIGNMENT,
): Promise<string> {
  const hash = createHash('sha256');
  await replaceFile(file, async (handle) => {
    const write = async ({ buffer, byteOffset, byteLength }: ArrayBufferView) => {
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      hash.update(bytes);
      await writeAll(handle, bytes);
    };
    const pad = (length: number) => write(new Uint8Array(paddingOf(length, alignment)));
    const header = headerOf(metadata, tensors, alignment);
    await write(header);
    await pad(header.length);
    for (const tensor of tensors) {
      let given = 0;
      for await (const part of typeof tensor.data === 'function' ? tensor.data() : [tensor.data]) {
        given += part.byteLength;
        await write(part);
      }
      if (given !== ggufBytesOf(tensor))
        throw new RangeError(
          `${tensor.name}: ${given} bytes given, ${ggufBytesOf(tensor)} announced`,
        );
      await pad(given);
    }
  });
  return hash.digest('hex');
}

/** Bytes of a tensor. Errors: RangeError where its rows do not hold whole blocks. */
export function ggufBytesOf({
  name,
  dtype,
  shape,
}: Pick<TensorToWrite, 'name' | 'dtype' | 'shape'>): number {
  const { block, bytes } = typeOf(dtype);
  if ((shape.at(-1) ?? 1) % block !== 0)
    throw new RangeError(`${name}: rows of ${shape.at(-1)} do not hold blocks of ${block}`);
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
  let offset = 0;
  const infos = tensors.map((tensor) => {
    const { name, dtype, shape } = tensor;
    const info = Buffer.concat([
      text(name),
      u32(shape.length),
      ...shape.toReversed().map(u64),
      u32(typeOf(dtype).type),
      u64(offset),
    ]);
    const size = ggufBytesOf(tensor);
    offset += size + paddingOf(size, alignment);
    return info;
  });
  return Buffer.concat([
    Buffer.from('GGUF'),
    u32(VERSION),
    u64(tensors.length),
    u64(metadata.length),
    ...metadata.map((entry) => Buffer.concat([text(entry.key), valueOf(entry)])),
    ...infos,
  ]);
}

function valueOf(entry: GgufEntry): Uint8Array {
  switch (entry.type) {
    case 'string':
      return Buffer.concat([u32(8), text(entry.value)]);
    case 'u32':
      return Buffer.concat([u32(4), u32(entry.value)]);
    case 'f32':
      return Buffer.concat([u32(6), f32(entry.value)]);
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

const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
