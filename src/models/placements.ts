import type { BaseModel } from '../formats/baseModel';
import { LoraError } from '../shared/errors';
import type { WeightTensor } from './weightTensor';
import { elementCount, type Ops, type Tensor } from './ops/ops';

interface Part {
  readonly name: string;
  /** Row of the checkpoint's matrix for each row here; null: all, in their order. */
  readonly order: Int32Array | null;
}

interface MatrixPart extends Part {
  /** The file holds columns as rows. */
  readonly transposed: boolean;
  /** As the base has it, although a tensor of this name trains: what a tied output layer keeps. */
  readonly frozen?: boolean;
}

/** f32, or bits of bf16. */
type Numbers = Float32Array | Uint16Array;
type Read<T extends Numbers> = (name: string, target?: T) => Promise<T>;

/** Where rows of a checkpoint's tensor lie in memory. */
interface Placement extends MatrixPart {
  readonly held: WeightTensor;
  readonly start: number;
  readonly rows: number;
  readonly width: number;
}

/**
 * Reads the checkpoint's tensors into the arrays that products are made of, and finds each one
 * again.
 */
export class Placements {
  private readonly found = new Map<string, Placement[]>();
  private pending: Omit<Placement, 'held'>[] = [];

  /**
   * `trained`: numbers of a tensor that trains, which is not read from the base; null for the
   * others.
   */
  constructor(
    private readonly ops: Ops,
    private readonly base: BaseModel,
    private readonly trained: (name: string) => number | null,
  ) {}

  /** Matrices one below the other. [rows, width] */
  matrix(parts: readonly MatrixPart[], width: number): Promise<Float32Array> {
    return this.joined(
      parts,
      width,
      this.ops.allocateHostF32(this.rowsOf(parts, width) * width),
      (name, target) => this.base.weights.readF32(name, target),
    );
  }

  /** The same as bits of bf16: of what is frozen. */
  halfMatrix(parts: readonly MatrixPart[], width: number): Promise<Uint16Array> {
    return this.joined(
      parts,
      width,
      this.ops.allocateHostBF16(this.rowsOf(parts, width) * width),
      (name, target) => this.base.weights.readBF16(name, target),
    );
  }

  private rowsOf(parts: readonly MatrixPart[], width: number): number {
    return parts.reduce(
      (sum, { name, order }) => sum + (order?.length ?? this.sizeOf(name) / width),
      0,
    );
  }

  private async joined<T extends Numbers>(
    parts: readonly MatrixPart[],
    width: number,
    data: T,
    read: Read<T>,
  ): Promise<T> {
    const rows = parts.map((part) => this.rowsOf([part], width));
    let at = 0;
    const filling = parts.map((part, i) => {
      const start = at * width;
      at += rows[i]!;
      this.pending.push({ ...part, start, rows: rows[i]!, width });
      return this.fill(data.subarray(start, at * width) as T, part, rows[i]!, width, read);
    });
    await Promise.all(filling);
    return data;
  }

  /** Vectors one after the other. */
  vector(parts: readonly Part[]): Promise<Float32Array> {
    return this.matrix(
      parts.map((part) => ({ ...part, transposed: false })),
      1,
    );
  }

  /** The arrays read last are this tensor now. */
  placed(names: readonly string[], held: WeightTensor): void {
    for (const placement of this.pending) {
      if (names.includes(placement.name))
        this.found.set(placement.name, [
          ...(this.found.get(placement.name) ?? []),
          { ...placement, held },
        ]);
    }
    this.pending = [];
  }

  /**
   * A tensor as it is in memory now, in the checkpoint's own order, or what `of` names beside it
   * (null: zeros). Errors: LoraError('base') for one that is not there.
   */
  async read(
    name: string,
    of: (held: WeightTensor) => Tensor | null = (held) => held.tensor,
  ): Promise<Float32Array> {
    const places = this.found.get(name);
    if (!places)
      throw new LoraError('base', `The model has no tensor ${name}.`, {
        place: { file: this.base.path, tensor: name },
      });
    const own = new Float32Array(this.sizeOf(name));
    for (const { held, start, rows, width, order, transposed } of places) {
      const tensor = of(held);
      if (tensor)
        move(
          (await this.ops.download(tensor)).subarray(start, start + rows * width),
          own,
          rows,
          width,
          order,
          transposed,
          'back',
        );
    }
    return own;
  }

  /** What `read` gives for each tensor in this one, in the order in which it holds them. */
  async arrange(
    held: WeightTensor,
    read: (name: string) => Promise<Float32Array>,
  ): Promise<Float32Array> {
    const data = this.ops.allocateHostF32(elementCount(held.tensor.shape));
    for (const [name, places] of this.found) {
      for (const { start, rows, width, order, transposed } of places.filter(
        (place) => place.held === held,
      )) {
        const own = await read(name);
        if (own.length !== this.sizeOf(name))
          throw new RangeError(
            `${name} has ${own.length} numbers, ${this.sizeOf(name)} are needed.`,
          );
        move(
          own,
          data.subarray(start, start + rows * width),
          rows,
          width,
          order,
          transposed,
          'there',
        );
      }
    }
    return data;
  }

  /** In the checkpoint. Errors: LoraError('base') for a tensor that is not there. */
  shapeOf(name: string): readonly number[] {
    const tensor = this.base.weights.tensors.get(name);
    if (!tensor)
      throw new LoraError('base', 'The model lacks a tensor.', {
        place: { file: this.base.path, tensor: name },
      });
    return tensor.shape;
  }

  private async fill<T extends Numbers>(
    target: T,
    { name, order, transposed, frozen = false }: MatrixPart,
    rows: number,
    width: number,
    read: Read<T>,
  ): Promise<void> {
    if (!frozen && this.trained(name) !== null) return;
    if (!order && !transposed) await read(name, target);
    else move(await read(name), target, rows, width, order, transposed, 'there');
  }

  private sizeOf(name: string): number {
    return this.trained(name) ?? elementCount(this.shapeOf(name));
  }
}

/**
 * there: row i of `to` is row order[i] of `from`, or column order[i] where it is transposed. back:
 * the other way.
 */
function move<T extends Numbers>(
  from: T,
  to: T,
  rows: number,
  width: number,
  order: Int32Array | null,
  transposed: boolean,
  way: 'there' | 'back',
): void {
  const stored = way === 'there' ? from : to;
  const columns = transposed ? stored.length / width : 0;
  for (let i = 0; i < rows; i++) {
    const own = order ? order[i]! : i;
    if (!transposed) {
      const [a, b] = way === 'there' ? [own, i] : [i, own];
      to.set(from.subarray(a * width, (a + 1) * width), b * width);
      continue;
    }
    for (let j = 0; j < width; j++) {
      const [a, b] = [j * columns + own, i * width + j];
      if (way === 'there') to[b] = from[a]!;
      else to[a] = from[b]!;
    }
  }
}
