import type { FileHandle } from 'node:fs/promises';
import { LoraError } from '../../shared/errors';
import { allocate, openFile, readFully } from '../files';
import { elementsOf } from '../parameters';
import { dequantise } from './dequantise';
import { MAX_GGUF_HEADER, NeedMore, parseGgufHeader, type GgufHeader, type GgufTensor } from './header';

/** An open GGUF file: header checked, tensors dequantised when asked for. */
export class GgufFile {
  private constructor(readonly file: string, private readonly handle: FileHandle, readonly header: GgufHeader) {}

  static async open(file: string): Promise<GgufFile> {
    const { handle, size } = await openFile(file, 'base');
    try {
      return new GgufFile(file, handle, await readHeader(handle, size, file));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** f32 in the file's own order of rows, into `target` where that is given. */
  async readF32(tensor: GgufTensor, target: Float32Array = new Float32Array(elementsOf(tensor.shape))): Promise<Float32Array> {
    const bytes = allocate(tensor.end - tensor.start, this.file, tensor.name);
    await readFully(this.handle, bytes, tensor.start, this.file, 'base');
    if (!dequantise(tensor.dtype, bytes, target)) throw new LoraError('base', `Numbers of type ${tensor.dtype} cannot be weights.`, { place: { file: this.file, tensor: tensor.name } });
    return target;
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** The header's length stands nowhere: read more until it is whole. */
async function readHeader(handle: FileHandle, size: number, file: string): Promise<GgufHeader> {
  const limit = Math.min(size, MAX_GGUF_HEADER);
  for (let length = Math.min(limit, 1 << 20); ; length = Math.min(limit, length * 4)) {
    const bytes = new Uint8Array(length);
    await readFully(handle, bytes, 0, file, 'base');
    try {
      return parseGgufHeader(bytes, size, file);
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
      if (length === limit) throw new LoraError('base', `The GGUF file is damaged: its header is larger than ${limit} bytes.`, { place: { file }, fix: 'Download it again.', cause: error });
    }
  }
}
