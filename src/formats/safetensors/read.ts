import type { FileHandle } from 'node:fs/promises';
import { LoraError } from '../../shared/errors';
import { openFile, readFully } from '../files';
import { fromBF16, fromF16, fromF64 } from '../floats';
import { headerLength, parseHeader, type SafetensorsHeader, type StoredTensor } from './header';

/** An open safetensors file: header checked, tensors read when asked for. */
export class SafetensorsFile {
  private constructor(readonly file: string, private readonly handle: FileHandle, readonly header: SafetensorsHeader) {}

  static async open(file: string): Promise<SafetensorsFile> {
    const { handle, size } = await openFile(file, 'adapter');
    try {
      const prefix = new Uint8Array(8);
      if (size >= 8) await readFully(handle, prefix, 0, file, 'adapter');
      const text = new Uint8Array(headerLength(prefix, size, file));
      await readFully(handle, text, 8, file, 'adapter');
      return new SafetensorsFile(file, handle, parseHeader(decode(text, file), 8 + text.length, size, file));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get tensors(): ReadonlyMap<string, StoredTensor> {
    return this.header.tensors;
  }

  /** The stored bytes, in a buffer of their own. */
  async readBytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const tensor = this.get(name);
    const bytes = new Uint8Array(tensor.end - tensor.start);
    await readFully(this.handle, bytes, tensor.start, this.file, 'adapter');
    return bytes;
  }

  /** Widened to f32. Errors: LoraError for integer tensors. */
  async readF32(name: string): Promise<Float32Array> {
    const { dtype } = this.get(name);
    const { buffer } = await this.readBytes(name);
    switch (dtype) {
      case 'F32': return new Float32Array(buffer);
      case 'BF16': return fromBF16(new Uint16Array(buffer));
      case 'F16': return fromF16(new Uint16Array(buffer));
      case 'F64': return fromF64(new Float64Array(buffer));
      default: throw new LoraError('adapter', `Numbers of type ${dtype} cannot be weights.`, { place: { file: this.file, tensor: name } });
    }
  }

  async readInts(name: string): Promise<Int32Array> {
    const { dtype } = this.get(name);
    const { buffer } = await this.readBytes(name);
    switch (dtype) {
      case 'I64': return Int32Array.from(new BigInt64Array(buffer), Number);
      case 'I32': return new Int32Array(buffer);
      case 'I16': return Int32Array.from(new Int16Array(buffer));
      case 'I8': return Int32Array.from(new Int8Array(buffer));
      case 'U8': case 'BOOL': return Int32Array.from(new Uint8Array(buffer));
      default: throw new LoraError('adapter', `Numbers of type ${dtype} are not whole.`, { place: { file: this.file, tensor: name } });
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  private get(name: string): StoredTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new LoraError('adapter', 'The tensor is not in the file.', { place: { file: this.file, tensor: name } });
    return tensor;
  }
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new LoraError('adapter', 'The safetensors file is damaged: its header is not UTF-8.', { place: { file }, fix: 'Download or copy the file again.', cause: error });
  }
}

/** Opens a file for as long as `use` takes. */
export async function withSafetensors<T>(file: string, use: (source: SafetensorsFile) => Promise<T>): Promise<T> {
  const source = await SafetensorsFile.open(file);
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}
