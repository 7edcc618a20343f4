import { LoraError } from '../../shared/errors';
import { allocate, openFile, readFully, type OpenFile } from '../openFile';
import { toBF16 } from '../floats';
import { elementsOf } from '../tensorInfo';
import { DEQUANTISED, dequantise } from './dequantise';
import {
  GGUF_TYPES,
  MAX_GGUF_HEADER,
  MoreBytesNeeded,
  parseGgufHeader,
  type GgufHeader,
  type GgufTensor,
} from './header';

/** Elements that are in memory in both dtypes while a tensor is converted to bf16: whole blocks. */
const CONVERTED_AT_ONCE = 1 << 20;

/** An open GGUF model in one or several files. Close it. */
export interface GgufSource {
  /** The path of the file, or of the first part. */
  readonly file: string;
  /** The paths of all parts. */
  readonly files: readonly string[];
  /** The metadata of the first part, and the tensors of all. */
  readonly header: GgufHeader;
  readF32(tensor: GgufTensor, target?: Float32Array): Promise<Float32Array>;
  readBF16(tensor: GgufTensor, target?: Uint16Array): Promise<Uint16Array>;
  readRange(tensor: GgufTensor, from: number, count: number): Promise<Float32Array>;
  readTensorBytes(
    tensor: GgufTensor,
    from: number,
    length: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>>;
  /** Bytes of the first part: those of its metadata. */
  readBytes(start: number, length: number, what: string): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** An open GGUF file: the header is checked, tensors are read on demand. Close it. */
export class GgufFile implements GgufSource {
  private constructor(
    private readonly source: OpenFile,
    readonly header: GgufHeader,
  ) {}

  /** @throws LoraError('base') when it cannot be read or its header is not valid. */
  static async open(file: string): Promise<GgufFile> {
    const source = await openFile(file, 'base');
    try {
      return new GgufFile(source, await readHeader(source));
    } catch (error) {
      await source.handle.close();
      throw error;
    }
  }

  /** Its path. */
  get file(): string {
    return this.source.file;
  }

  /**
   * A tensor's values as f32, in the file's order of rows; written to `target`, which must have its
   * size, when given.
   *
   * @throws LoraError('base') for a dtype that is not one of weights.
   */
  async readF32(
    tensor: GgufTensor,
    target: Float32Array = new Float32Array(elementsOf(tensor.shape)),
  ): Promise<Float32Array> {
    const bytes = await this.readBytes(tensor.start, tensor.end - tensor.start, tensor.name);
    return this.dequantised(tensor, bytes, target);
  }

  /**
   * Some of a tensor's values as f32. `from` and `count` must be multiples of the dtype's block.
   *
   * @throws LoraError('base') as `readF32`.
   */
  async readRange(tensor: GgufTensor, from: number, count: number): Promise<Float32Array> {
    const { block, bytes } = GGUF_TYPES.get(tensor.dtype)!;
    const stored = await this.readBytes(
      tensor.start + (from / block) * bytes,
      (count / block) * bytes,
      tensor.name,
    );
    return this.dequantised(tensor, stored, new Float32Array(count));
  }

  /** As `readF32`, but as the bits of bf16, rounded to the nearest. */
  async readBF16(
    tensor: GgufTensor,
    target: Uint16Array = new Uint16Array(elementsOf(tensor.shape)),
  ): Promise<Uint16Array> {
    for (let at = 0; at < target.length; at += CONVERTED_AT_ONCE) {
      const count = Math.min(CONVERTED_AT_ONCE, target.length - at);
      toBF16(await this.readRange(tensor, at, count), target.subarray(at, at + count));
    }
    return target;
  }

  /** Bytes of the file as they are stored; `what`: a name for the error when memory is short. */
  async readBytes(start: number, length: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.fill(allocate(length, this.file, what), start);
  }

  private async fill(
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    await readFully(this.source, bytes, start);
    return bytes;
  }

  /** The file alone: a model may have several. */
  get files(): readonly string[] {
    return [this.file];
  }

  /**
   * Some of a tensor's bytes as they are stored; `from` counts from its first one. `into`: a buffer
   * whose first bytes they become.
   */
  readTensorBytes(
    { start, name }: GgufTensor,
    from: number,
    length: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    if (into) return this.fill(into.subarray(0, length), start + from);
    return this.readBytes(start + from, length, name);
  }

  close(): Promise<void> {
    return this.source.handle.close();
  }

  private dequantised(
    { dtype, name }: GgufTensor,
    bytes: Uint8Array<ArrayBuffer>,
    target: Float32Array,
  ): Float32Array {
    if (dequantise(dtype, bytes, target)) return target;
    throw new LoraError('base', `Tensors of type ${dtype} cannot be used as weights.`, {
      place: { file: this.file, tensor: name },
      fix: `Use a file with one of: ${DEQUANTISED}.`,
    });
  }
}

/** No field holds the header's length, so more is read until the header is complete. */
async function readHeader(source: OpenFile): Promise<GgufHeader> {
  const { file, size } = source;
  const limit = Math.min(size, MAX_GGUF_HEADER);
  for (let length = Math.min(limit, 1 << 20); ; length = Math.min(limit, length * 4)) {
    const bytes = new Uint8Array(length);
    await readFully(source, bytes, 0);
    try {
      return parseGgufHeader(bytes, size, file);
    } catch (error) {
      if (!(error instanceof MoreBytesNeeded)) throw error;
      if (length === limit)
        throw new LoraError(
          'base',
          `The GGUF file is damaged: its header is larger than ${limit} bytes.`,
          { place: { file }, fix: 'Download it again.', cause: error },
        );
    }
  }
}
