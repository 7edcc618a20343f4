import { replaceFile } from '../files';
import type { DType } from '../types';

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** Writes a file as the safetensors library does: by alignment of the dtype, then by name; the header padded with spaces to 8 bytes. */
export async function writeSafetensors(file: string, tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>> = { format: 'pt' }): Promise<void> {
  const sorted = [...tensors].sort((a, b) => ORDER.indexOf(a.dtype) - ORDER.indexOf(b.dtype) || compare(a.name, b.name));
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let offset = 0;
  for (const { name, dtype, shape, data } of sorted) {
    header[name] = { dtype, shape, data_offsets: [offset, offset += data.byteLength] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  prefix.writeBigUInt64LE(BigInt(prefix.length - 8));
  text.copy(prefix, 8);
  await replaceFile(file, async (handle) => {
    await handle.write(prefix);
    for (const { data } of sorted) await writeAll((bytes) => handle.write(bytes), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  });
}

async function writeAll(write: (bytes: Uint8Array) => Promise<{ bytesWritten: number }>, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await write(bytes.subarray(done, done + (1 << 30)))).bytesWritten;
}

/** The library sorts by dtype, widest first. */
const ORDER: readonly DType[] = ['F64', 'I64', 'F32', 'I32', 'F16', 'BF16', 'I16', 'I8', 'U8', 'BOOL'];
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
