import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { writeAll } from '../common/atomicWrite';
import type { DType } from './tensorInfo';

/** A tensor that is to be written to a file. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: DType;
  /** Row-major, outermost dimension first. */
  readonly shape: readonly number[];
  /**
   * The data as it is stored; or a function that yields it in parts when it is about to be written,
   * so that a large file need not fit into memory.
   */
  readonly data: ArrayBufferView | (() => AsyncIterable<ArrayBufferView>);
}

/** Tensor data that is read when it is about to be written. */
export async function* readLate(
  read: () => Promise<ArrayBufferView>,
): AsyncGenerator<ArrayBufferView> {
  yield await read();
}

/** Writes a file from its start to its end, and hashes it at the same time. */
export class HashedWriter {
  private readonly hash = createHash('sha256');

  /** The handle is the caller's to close. */
  constructor(private readonly handle: FileHandle) {}

  async write({ buffer, byteOffset, byteLength }: ArrayBufferView): Promise<void> {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.hash.update(bytes);
    await writeAll(this.handle, bytes);
  }

  /** @throws RangeError when the tensor's data has other than `expected` bytes. */
  async writeTensor({ name, data }: TensorToWrite, expected: number): Promise<void> {
    let written = 0;
    for await (const part of typeof data === 'function' ? data() : [data]) {
      written += part.byteLength;
      await this.write(part);
    }
    if (written !== expected)
      throw new RangeError(`${name}: its data has ${written} bytes instead of ${expected}`);
  }

  /** The sha256 of all that was written, as hex digits. Ends the hashing. */
  sha256(): string {
    return this.hash.digest('hex');
  }
}
