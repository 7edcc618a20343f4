import { toBF16 } from './floats';
import type { TensorInfo } from './tensorInfo';

/**
 * The tensors of a checkpoint under the names, and with the order of rows, of the original Hugging
 * Face checkpoint. Whoever opened it closes it.
 */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * A tensor's values as f32, row-major, converted or dequantised. Written to `target`, which must
   * have the tensor's size, when that is given.
   *
   * @throws LoraError naming file and tensor.
   */
  readF32(name: string, target?: Float32Array): Promise<Float32Array>;
  /** As `readF32`, but as the bits of bf16: those stored, or else rounded to the nearest. */
  readBF16(name: string, target?: Uint16Array): Promise<Uint16Array>;
  /** How a quantized matrix is stored; null for other tensors, and for types without kernels. */
  blocksOf?(name: string): StoredMatrix | null;
  close(): Promise<void>;
}

/** A source whose tensors can be read in parts, by the names of the checkpoint. */
export interface PartSource extends WeightSource {
  /** `count` elements from the element `from` on, as f32. */
  readPart(name: string, from: number, count: number): Promise<Float32Array>;
  /** `length` bytes from the byte `from` on. */
  readBytes(name: string, from: number, length: number): Promise<Uint8Array>;
}

/** A matrix in blocks of one of ggml's types, whose rows are whole numbers of blocks. */
export interface StoredMatrix {
  /** The type's number in ggml. */
  readonly type: number;
  /** Values of a row. */
  readonly width: number;
  /** Bytes of a row. */
  readonly row_bytes: number;
  /** @throws LoraError('base') also when a block holds a scale that is not finite. */
  readonly read: (target: BlockTarget) => Promise<void>;
}

/** Where rows of blocks are written to: each fills `words` numbers of `data`. */
export interface BlockTarget {
  readonly data: Int32Array;
  readonly words: number;
  /** The checkpoint's row for each row; null: all of them, in their order. */
  readonly order: Int32Array | null;
}

/** A tensor to use instead of one of the base's. */
export interface ReplacedTensor {
  readonly shape: readonly number[];
  /** Its values, row-major. */
  readonly read: () => Promise<Float32Array>;
}

/** The source with some of its tensors replaced; it is closed by closing either of the two. */
export function withReplaced<S extends WeightSource>(
  source: S,
  replaced: ReadonlyMap<string, ReplacedTensor> = new Map(),
): S {
  if (replaced.size === 0) return source;
  const infos = [...replaced].map(([name, { shape }]): [string, TensorInfo] => [
    name,
    { name, shape, dtype: 'F32' },
  ]);
  return {
    ...source,
    tensors: new Map([...source.tensors, ...infos]),
    blocksOf: (name: string) => (replaced.has(name) ? null : (source.blocksOf?.(name) ?? null)),
    readF32: async (name: string, target?: Float32Array) => {
      const replacement = replaced.get(name);
      if (!replacement) return source.readF32(name, target);
      const data = await replacement.read();
      if (!target) return data;
      target.set(data);
      return target;
    },
    readBF16: async (name: string, target?: Uint16Array) => {
      const replacement = replaced.get(name);
      if (!replacement) return source.readBF16(name, target);
      return toBF16(await replacement.read(), target);
    },
  };
}
