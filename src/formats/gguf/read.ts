import { LoraError } from '../../shared/errors';
import { allocate, openFile, readFully, type OpenFile } from '../openFile';
import { toBF16 } from '../floats';
import { elementsOf } from '../tensorInfo';
import { dequantise } from './dequantise';
import {
  GGUF_TYPES,
  MAX_GGUF_HEADER,
  NeedMore,
  parseGgufHeader,
  type GgufHeader,
  type GgufTensor,
} from './header';

/** Numbers that are in memory in both forms while they are rounded: whole blocks of every type. */
const ROUNDED_AT_ONCE = 1 << 20;

/** An open GGUF file: header checked, tensors dequantised when asked for. */
export class GgufFile {
  private constructor(
    private readonly source: OpenFile,
    readonly header: GgufHeader,
  ) {}

  static async open(file: string): Promise<GgufFile> {
    const source = await openFile(file, 'base');
    try {
      return new GgufFile(source, await readHeader(source));
    } catch (error) {
      await source.handle.close();
      throw error;
    }
  }

  get file(): string {
    return this.source.file;
  }

  /** f32 in the file's own order of rows, into `target` where that is given. */
  async readF32(
    tensor: GgufTensor,
    target: Float32Array = new Float32Array(elementsOf(tensor.shape)),
  ): Promise<Float32Array> {
    const bytes = await this.readBytes(tensor.start, tensor.end - tensor.start, tensor.name);
    if (!dequantise(tensor.dtype, bytes, target))
      throw new LoraError('base', `Numbers of type ${tensor.dtype} cannot be weights.`, {
        place: { file: this.file, tensor: tensor.name },
      });
    return target;
  }

  /** Some elements in f32: whole blocks of the tensor's type. */
  async readRange(tensor: GgufTensor, from: number, count: number): Promise<Float32Array> {
    const { block, bytes } = GGUF_TYPES.get(tensor.dtype)!;
    const values = new Float32Array(count);
    const stored = await this.readBytes(
      tensor.start + (from / block) * bytes,
      (count / block) * bytes,
      tensor.name,
    );
    if (!dequantise(tensor.dtype, stored, values))
      throw new LoraError('base', `Numbers of type ${tensor.dtype} cannot be weights.`, {
        place: { file: this.file, tensor: tensor.name },
      });
    return values;
  }

  /** The bits of bf16, rounded from what is stored a part at a time. */
  async readBF16(
    tensor: GgufTensor,
    target: Uint16Array = new Uint16Array(elementsOf(tensor.shape)),
  ): Promise<Uint16Array> {
    for (let at = 0; at < target.length; at += ROUNDED_AT_ONCE) {
      const count = Math.min(ROUNDED_AT_ONCE, target.length - at);
      toBF16(await this.readRange(tensor, at, count), target.subarray(at, at + count));
    }
    return target;
  }

  /** Bytes of the file as they are. */
  async readBytes(start: number, length: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = allocate(length, this.file, what);
    await readFully(this.source, bytes, start);
    return bytes;
  }

  close(): Promise<void> {
    return this.source.handle.close();
  }
}

/** The header's length stands nowhere: read more until it is whole. */
async function readHeader(source: OpenFile): Promise<GgufHeader> {
  const { file, size } = source;
  const limit = Math.min(size, MAX_GGUF_HEADER);
  for (let length = Math.min(limit, 1 << 20); ; length = Math.min(limit, length * 4)) {
    const bytes = new Uint8Array(length);
    await readFully(source, bytes, 0);
    try {
      return parseGgufHeader(bytes, size, file);
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
      if (length === limit)
        throw new LoraError(
          'base',
          `The GGUF file is damaged: its header is larger than ${limit} bytes.`,
          { place: { file }, fix: 'Download it again.', cause: error },
        );
    }
  }
}
