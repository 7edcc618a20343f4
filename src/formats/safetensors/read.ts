import { LoraError, type ErrorArea } from '../../shared/errors';
import { allocate, openFile, readFully, type OpenFile } from '../openFile';
import { fromBF16, fromF16, fromF64, fromF8, toBF16 } from '../floats';
import {
  damaged,
  headerLength,
  parseHeader,
  type HeaderSource,
  type SafetensorsHeader,
  type StoredTensor,
} from './header';

/** An open safetensors file: the header is checked, tensors are read on demand. Close it. */
export class SafetensorsFile {
  private constructor(
    private readonly source: OpenFile,
    readonly header: SafetensorsHeader,
  ) {}

  /**
   * `area`: what the file belongs to, for messages.
   *
   * @throws LoraError(area) when it cannot be read or its header is not valid.
   */
  static async open(file: string, area: ErrorArea = 'adapter'): Promise<SafetensorsFile> {
    const source = await openFile(file, area);
    try {
      const prefix = new Uint8Array(8);
      if (source.size >= 8) await readFully(source, prefix, 0);
      const text = new Uint8Array(headerLength(prefix, source));
      await readFully(source, text, 8);
      return new SafetensorsFile(
        source,
        parseHeader(decode(text, source), 8 + text.length, source),
      );
    } catch (error) {
      await source.handle.close();
      throw error;
    }
  }

  /** Its path. */
  get file(): string {
    return this.source.file;
  }

  /** By name, in the order of the header. */
  get tensors(): ReadonlyMap<string, StoredTensor> {
    return this.header.tensors;
  }

  /** A tensor's bytes as they are stored, in a buffer of their own. */
  async readBytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const { start, end } = this.get(name);
    return this.fill(allocate(end - start, this.file, name), name);
  }

  /**
   * Some of a tensor's bytes; `from` counts from its first one.
   *
   * @throws RangeError when they are not all in the tensor.
   */
  async readSlice(name: string, from: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const { start, end } = this.get(name);
    if (from < 0 || start + from + length > end)
      throw new RangeError(`${name} has no bytes ${from} to ${from + length}.`);
    const bytes = allocate(length, this.file, name);
    await readFully(this.source, bytes, start + from);
    return bytes;
  }

  private async fill<T extends Uint8Array>(bytes: T, name: string): Promise<T> {
    const tensor = this.get(name);
    await readFully(this.source, bytes, tensor.start);
    return bytes;
  }

  /**
   * A tensor's values as f32, row-major; written to `target`, which must have its size, when given.
   *
   * @throws LoraError for a dtype that is not floating-point.
   */
  async readF32(name: string, target?: Float32Array): Promise<Float32Array> {
    const dtype = this.floatsOf(name);
    const values =
      target ??
      new Float32Array(allocate(this.elementsOf(name, dtype) * 4, this.file, name).buffer);
    const { buffer, byteOffset, byteLength, length } = values;
    switch (dtype) {
      case 'F32':
        await this.fill(new Uint8Array(buffer, byteOffset, byteLength), name);
        return values;
      case 'F64':
        return fromF64(new Float64Array((await this.readBytes(name)).buffer), values);
      case 'F8_E4M3':
      case 'F8_E5M2':
        return fromF8(await this.readBytes(name), dtype, values);
      case 'BF16':
      case 'F16': {
        // read into the upper half of the target, then widened in place from the first on
        const stored = new Uint16Array(buffer, byteOffset + 2 * length, length);
        await this.fill(new Uint8Array(buffer, byteOffset + 2 * length, 2 * length), name);
        return dtype === 'BF16' ? fromBF16(stored, values) : fromF16(stored, values);
      }
    }
  }

  /** As `readF32`, but as the bits of bf16, rounded to the nearest when the file has others. */
  async readBF16(name: string, target?: Uint16Array): Promise<Uint16Array> {
    const dtype = this.floatsOf(name);
    const bits =
      target ?? new Uint16Array(allocate(this.elementsOf(name, dtype) * 2, this.file, name).buffer);
    if (dtype === 'BF16') {
      await this.fill(new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength), name);
      return bits;
    }
    const width = WIDTHS[dtype];
    for (let at = 0; at < bits.length; at += CONVERTED_AT_ONCE) {
      const count = Math.min(CONVERTED_AT_ONCE, bits.length - at);
      const { buffer } = await this.readSlice(name, at * width, count * width);
      toBF16(widened(dtype, buffer), bits.subarray(at, at + count));
    }
    return bits;
  }

  /**
   * `count` elements from the element `from` on, as f32.
   *
   * @throws LoraError for a dtype that is not floating-point.
   */
  async readPart(name: string, from: number, count: number): Promise<Float32Array> {
    const dtype = this.floatsOf(name);
    const width = WIDTHS[dtype];
    const { buffer } = await this.readSlice(name, from * width, count * width);
    return dtype === 'BF16' ? fromBF16(new Uint16Array(buffer)) : widened(dtype, buffer);
  }

  /**
   * A tensor of integers; those of 64 bits are converted.
   *
   * @throws LoraError for other dtypes.
   */
  async readInts(name: string): Promise<Int32Array> {
    const { dtype } = this.get(name);
    const { buffer } = await this.readBytes(name);
    switch (dtype) {
      case 'I64':
        return Int32Array.from(new BigInt64Array(buffer), Number);
      case 'I32':
        return new Int32Array(buffer);
      case 'I16':
        return Int32Array.from(new Int16Array(buffer));
      case 'I8':
        return Int32Array.from(new Int8Array(buffer));
      case 'U8':
      case 'BOOL':
        return Int32Array.from(new Uint8Array(buffer));
      default:
        throw this.fail(`Tensors of type ${dtype} do not hold integers`, name);
    }
  }

  close(): Promise<void> {
    return this.source.handle.close();
  }

  private elementsOf(name: string, dtype: Float): number {
    const { start, end } = this.get(name);
    return (end - start) / WIDTHS[dtype];
  }

  private floatsOf(name: string): Float {
    const { dtype } = this.get(name);
    if (isFloat(dtype)) return dtype;
    throw this.fail(
      `Tensors of type ${dtype} cannot be used as weights`,
      name,
      `Save it again with one of: ${READABLE}.`,
    );
  }

  private get(name: string): StoredTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw this.fail('The tensor is not in the file', name);
    return tensor;
  }

  private fail(what: string, tensor: string, fix?: string): LoraError {
    return new LoraError(this.source.area, `${what}.`, {
      place: { file: this.file, tensor },
      ...(fix !== undefined && { fix }),
    });
  }
}

/** Bytes of an element. */
const WIDTHS = { F32: 4, BF16: 2, F16: 2, F64: 8, F8_E4M3: 1, F8_E5M2: 1 } as const;
type Float = keyof typeof WIDTHS;
/** The dtypes in which weights should be saved, for messages. */
export const READABLE = 'F32, BF16, F16, F64';

/** Whether tensors of a dtype can be read as f32. */
export const isFloat = (dtype: string): dtype is Float => Object.hasOwn(WIDTHS, dtype);

/** Elements that are in memory in both dtypes while a tensor is converted to bf16. */
const CONVERTED_AT_ONCE = 1 << 20;

function widened(dtype: Exclude<Float, 'BF16'>, buffer: ArrayBuffer): Float32Array {
  switch (dtype) {
    case 'F8_E4M3':
    case 'F8_E5M2':
      return fromF8(new Uint8Array(buffer), dtype);
    case 'F32':
      return new Float32Array(buffer);
    case 'F16':
      return fromF16(new Uint16Array(buffer));
    case 'F64':
      return fromF64(new Float64Array(buffer));
  }
}

function decode(bytes: Uint8Array, source: HeaderSource): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw damaged(source, 'its header is not UTF-8', error);
  }
}

/** Opens a file, passes it to `use`, and closes it. Errors as `SafetensorsFile.open` and `use`. */
export async function withSafetensors<T>(
  file: string,
  use: (source: SafetensorsFile) => Promise<T>,
  area: ErrorArea = 'adapter',
): Promise<T> {
  const source = await SafetensorsFile.open(file, area);
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}
