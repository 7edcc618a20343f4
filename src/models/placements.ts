import type { BaseModel } from '../formats/baseModel';
import { areFinite, areFiniteBF16 } from '../formats/checkFinite';
import { LoraError } from '../shared/errors';
import type { BlockMemory } from './blockMemory';
import { downloadAndFree, elementCount, type Ops, type Tensor } from './ops/ops';
import type { WeightTensor } from './weightTensor';

/** A tensor of the checkpoint, or some of its rows. */
interface VectorPart {
  readonly name: string;
  /** The checkpoint's row for each row here; null: all of them, in their order. */
  readonly order: Int32Array | null;
}

export interface MatrixPart extends VectorPart {
  /** The file stores the matrix as its transpose. */
  readonly transposed: boolean;
  /** Read from the base although a tensor of this name trains: for a tied output layer. */
  readonly frozen?: boolean;
}

/** f32, or the bits of bf16. */
type Numbers = Float32Array | Uint16Array;
type ReadNumbers<T extends Numbers> = (name: string, target?: T) => Promise<T>;

/** Another tensor of a weight, such as its gradient; null: zeros. */
type SelectTensor = (weight: WeightTensor) => Tensor | null;

/** Rows of a matrix in blocks of one type, each filled up to whole words. */
interface StoredBlocks {
  readonly data: Int32Array; // [rows, words]
  readonly shape: readonly [rows: number, words: number];
  /** The type's number in ggml. */
  readonly type: number;
}

/** A part's place in a larger array. */
interface PlacedPart extends MatrixPart {
  /** First element. */
  readonly start: number;
  readonly rows: number;
  readonly width: number;
}

interface Placement extends PlacedPart {
  readonly weight: WeightTensor;
}

/**
 * Reads tensors of the checkpoint into the arrays of fused products, and records where in memory
 * each one is. All methods throw LoraError('base') for a tensor that the checkpoint lacks.
 */
export class Placements {
  private readonly byName = new Map<string, Placement[]>();
  /** Read, but not registered yet. */
  private pending: PlacedPart[] = [];

  /**
   * `trainedSize`: number of elements of a tensor that trains, which is not read from the base;
   * null for the others.
   */
  constructor(
    private readonly ops: Ops,
    private readonly base: BaseModel,
    private readonly trainedSize: (name: string) => number | null,
  ) {}

  /** Concatenates matrices along their rows. [rows, width] */
  matrix(parts: readonly MatrixPart[], width: number): Promise<Float32Array> {
    const data = this.ops.allocateHostF32(this.rowCount(parts, width) * width);
    return this.concatenate(parts, width, data, async (name, target) =>
      this.finite(name, await this.base.weights.readF32(name, target), areFinite),
    );
  }

  /** The same as the bits of bf16, for frozen matrices. */
  bf16Matrix(parts: readonly MatrixPart[], width: number): Promise<Uint16Array> {
    const data = this.ops.allocateHostBF16(this.rowCount(parts, width) * width);
    return this.concatenate(parts, width, data, async (name, target) =>
      this.finite(name, await this.base.weights.readBF16(name, target), areFiniteBF16),
    );
  }

  /** The blocks of the parts, below each other; null if one of them is not stored so. */
  async blockRows(
    parts: readonly MatrixPart[],
    width: number,
    memory: BlockMemory,
  ): Promise<readonly StoredBlocks[] | null> {
    const { weights } = this.base;
    const places = parts.map((part) => ({ part, blocks: weights.blocksOf?.(part.name) ?? null }));
    if (places.some(({ part, blocks }) => !blocks || part.transposed || blocks.width !== width))
      return null;
    let start = 0;
    const stored: StoredBlocks[] = [];
    for (const { part, blocks } of places) {
      const rows = this.rowCount([part], width);
      this.pending.push({ ...part, start, rows, width });
      start += rows * width;
      const words = Math.ceil(blocks!.row_bytes / Int32Array.BYTES_PER_ELEMENT);
      const data = memory.allocate(rows * words);
      await blocks!.read({ data, words, order: part.order });
      stored.push({ data, shape: [rows, words], type: blocks!.type });
    }
    return stored;
  }

  /** @throws LoraError('base') when a number of the tensor is not finite. */
  private finite<T extends Numbers>(
    name: string,
    values: T,
    areAllFinite: (values: T) => boolean,
  ): T {
    if (areAllFinite(values)) return values;
    throw new LoraError('base', 'The tensor of the base holds numbers that are not finite.', {
      place: { file: this.base.path, tensor: name },
      fix: 'Download the base again, or use another one.',
    });
  }

  /** Concatenates vectors. */
  vector(parts: readonly VectorPart[]): Promise<Float32Array> {
    const columns = parts.map((part) => ({ ...part, transposed: false }));
    return this.matrix(columns, 1);
  }

  /** Registers `weight` as the place of the tensors that were read since the last call. */
  register(names: readonly string[], weight: WeightTensor): void {
    for (const part of this.pending) {
      if (!names.includes(part.name)) continue;
      const others = this.byName.get(part.name) ?? [];
      this.byName.set(part.name, [...others, { ...part, weight }]);
    }
    this.pending = [];
  }

  /**
   * The present numbers of a tensor in the checkpoint's order, or those of another tensor of the
   * same weight that `select` chooses, such as its gradient (null: zeros).
   */
  async read(name: string, select: SelectTensor | null = null): Promise<Float32Array> {
    const placements = this.byName.get(name);
    if (!placements) {
      throw new LoraError('base', `The model has no tensor ${name}.`, {
        place: { file: this.base.path, tensor: name },
      });
    }
    const stored = new Float32Array(this.size(name));
    for (const placement of placements) {
      const { start, rows, width } = placement;
      const numbers = await this.download(placement.weight, select);
      if (!numbers) continue;
      copyToCheckpoint(numbers.subarray(start, start + rows * width), stored, placement);
    }
    return stored;
  }

  private async download(
    weight: WeightTensor,
    select: SelectTensor | null,
  ): Promise<Float32Array | null> {
    const { ops } = this;
    if (!select && weight.quantized) return downloadAndFree(ops, weight.quantized.numbers('f32'));
    const tensor = select ? select(weight) : weight.use((numbers) => numbers);
    return tensor && ops.download(tensor);
  }

  /**
   * The inverse of `read`: for each tensor in `weight` what `read` returns for it, in the order of
   * the weight.
   *
   * @throws RangeError if `read` returns another number of elements.
   */
  async arrange(
    weight: WeightTensor,
    read: (name: string) => Promise<Float32Array>,
  ): Promise<Float32Array> {
    const data = this.ops.allocateHostF32(elementCount(weight.shape));
    for (const [name, placements] of this.byName) {
      for (const placement of placements.filter((p) => p.weight === weight)) {
        const { start, rows, width } = placement;
        const stored = await read(name);
        const size = this.size(name);
        if (stored.length !== size) {
          throw new RangeError(`${name} has ${stored.length} numbers, ${size} are needed.`);
        }
        copyFromCheckpoint(stored, data.subarray(start, start + rows * width), placement);
      }
    }
    return data;
  }

  /** The shape in the checkpoint. */
  shapeOf(name: string): readonly number[] {
    const tensor = this.base.weights.tensors.get(name);
    if (!tensor) {
      throw new LoraError('base', 'The model lacks a tensor.', {
        place: { file: this.base.path, tensor: name },
      });
    }
    return tensor.shape;
  }

  private rowCount(parts: readonly MatrixPart[], width: number): number {
    const rows = parts.map(({ name, order }) => order?.length ?? this.size(name) / width);
    return rows.reduce((sum, count) => sum + count, 0);
  }

  private async concatenate<T extends Numbers>(
    parts: readonly MatrixPart[],
    width: number,
    data: T,
    read: ReadNumbers<T>,
  ): Promise<T> {
    let start = 0;
    const reads = parts.map((part) => {
      const rows = this.rowCount([part], width);
      const placed = { ...part, start, rows, width };
      const end = start + rows * width;
      const target = data.subarray(start, end) as T;
      start = end;
      this.pending.push(placed);
      return this.fill(target, placed, read);
    });
    await Promise.all(reads);
    return data;
  }

  private async fill<T extends Numbers>(
    target: T,
    part: PlacedPart,
    read: ReadNumbers<T>,
  ): Promise<void> {
    const { name, order, transposed, frozen = false } = part;
    if (!frozen && this.trainedSize(name) !== null) return;
    if (!order && !transposed) await read(name, target);
    else copyFromCheckpoint(await read(name), target, part);
  }

  private size(name: string): number {
    return this.trainedSize(name) ?? elementCount(this.shapeOf(name));
  }
}

/** Row i of `to` becomes row order[i] of `from`, or column order[i] if it is transposed. */
function copyFromCheckpoint<T extends Numbers>(
  from: T,
  to: T,
  { rows, width, order, transposed }: PlacedPart,
): void {
  const columns = from.length / width;
  for (let i = 0; i < rows; i++) {
    const row = order ? order[i]! : i;
    if (transposed) {
      for (let j = 0; j < width; j++) to[i * width + j] = from[j * columns + row]!;
    } else to.set(from.subarray(row * width, (row + 1) * width), i * width);
  }
}

/** Row order[i] of `to`, or column order[i] if it is transposed, becomes row i of `from`. */
function copyToCheckpoint(
  from: Float32Array,
  to: Float32Array,
  { rows, width, order, transposed }: PlacedPart,
): void {
  const columns = to.length / width;
  for (let i = 0; i < rows; i++) {
    const row = order ? order[i]! : i;
    if (transposed) {
      for (let j = 0; j < width; j++) to[j * columns + row] = from[i * width + j]!;
    } else to.set(from.subarray(i * width, (i + 1) * width), row * width);
  }
}
