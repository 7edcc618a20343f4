import { createHash } from 'node:crypto';
import { replaceFile, writeAll } from '../../common/atomicWrite';
import type { DType } from '../tensorInfo';
import { SAFETENSORS_BYTES } from './header';

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /**
   * The numbers, or where their parts come from when their turn has come: a large file need not be
   * in memory.
   */
  readonly data: ArrayBufferView | (() => AsyncIterable<ArrayBufferView>);
}

/** A tensor's data that is read when its turn has come. */
export async function* readLate(
  read: () => Promise<ArrayBufferView>,
): AsyncGenerator<ArrayBufferView> {
  yield await read();
}

/**
 * Writes a file as the safetensors library does: the widest dtypes first, then by name; the header
 * padded with spaces to 8 bytes. Under a temporary name until it is whole. Gives the file's sha256.
 * Errors: LoraError('disk').
 */
export async function writeSafetensors(
  file: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<string> {
  const sorted = [...tensors].sort(
    (a, b) =>
      ORDER.indexOf(a.dtype) - ORDER.indexOf(b.dtype) ||
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  );
  const header = headerOf(sorted, metadata);
  const hash = createHash('sha256');
  await replaceFile(file, async (handle) => {
    const write = async ({ buffer, byteOffset, byteLength }: ArrayBufferView) => {
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      hash.update(bytes);
      await writeAll(handle, bytes);
    };
    await write(header);
    for (const tensor of sorted) {
      let given = 0;
      for await (const part of typeof tensor.data === 'function' ? tensor.data() : [tensor.data]) {
        given += part.byteLength;
        await write(part);
      }
      if (given !== sizeOf(tensor))
        throw new RangeError(`${tensor.name}: ${given} bytes given, ${sizeOf(tensor)} announced`);
    }
  });
  return hash.digest('hex');
}

/**
 * Length, JSON, padding. The text is put together by hand: an object would reorder names that look
 * like numbers.
 */
function headerOf(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  let offset = 0;
  const entries = tensors.map((tensor) => {
    const { name, dtype, shape } = tensor;
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, (offset += sizeOf(tensor))] })}`;
  });
  const own =
    Object.keys(metadata).length > 0 ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  const text = Buffer.from(`{${[...own, ...entries].join(',')}}`);
  const header = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  text.copy(header, 8);
  return header;
}

const ORDER = [...SAFETENSORS_BYTES.keys()];

function sizeOf({ dtype, shape }: TensorToWrite): number {
  return shape.reduce((a, b) => a * b, SAFETENSORS_BYTES.get(dtype) ?? NaN);
}
