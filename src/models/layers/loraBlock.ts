import type { LoraModule, ModelContext } from '../adapters';
import {
  columnDots,
  downloadAndFree,
  elementCount,
  withF32,
  type Ops,
  type Tensor,
} from '../ops/ops';
import { addInto } from '../training/parameters';
import type { FactorMatrices, PlacedFactors } from '../training/writtenFactors';
import type { WeightTensor } from '../weightTensor';

/** The rows of one linear layer within a (fused) product of several. */
export interface ProductSlot {
  readonly path: string;
  /** First row in the product. */
  readonly row: number;
  readonly rows: number;
  /** The layer's own row for each of them; null: in its own order. */
  readonly order: Int32Array | null;
}

/** A LoRA module within a block. */
export interface LoraBlockPart extends ProductSlot {
  readonly module: LoraModule;
  /** Its first rank in the block. */
  readonly rank: number;
}

interface LoraBlockSize {
  readonly r: number;
  readonly in_features: number;
  readonly out_features: number;
}

/** A block's factors, and W Aᵀ. */
interface BlockNumbers {
  readonly A: Float32Array; // [r, in]
  readonly B: Float32Array; // [out, r], scaled
  readonly WA: Float32Array; // [out, r]
  readonly r: number;
}

/**
 * The LoRA modules of one (fused) product as two matrices, so that x Aᵀ Bᵀ is the sum of what they
 * add. Owns its tensors.
 */
export class LoraBlock {
  A!: Tensor; // [r, in]
  B!: Tensor; // [out, r], times alpha / r
  /** DoRA (Liu et al. 2024): magnitude / ‖W + dW‖ of each output, 1 for a module without. [out] */
  factor: Tensor | null = null;
  /** For the kernels that write: the layers' own row for each row; null: in turn. [out] */
  private order: Tensor | null = null;
  /** 1 / ‖W + dW‖ of each row; 0 for a module without DoRA. */
  private inverseNorms: Float32Array | null = null;
  /** ‖W‖² of each row. */
  private squares: Float32Array | null = null;
  /** What was uploaded, to be written again: null unless it trains and no kernel writes it. */
  private host: { readonly A: Float32Array; readonly B: Float32Array } | null = null;
  readonly in_features: number;
  readonly trains: boolean;
  private readonly hasDora: boolean;

  private constructor(
    private readonly context: ModelContext,
    readonly parts: readonly LoraBlockPart[],
    private readonly size: LoraBlockSize,
    private readonly weight: WeightTensor,
  ) {
    this.in_features = size.in_features;
    this.trains = parts.some((p) => p.module.number !== null);
    this.hasDora = parts.some((p) => p.module.magnitude);
  }

  /**
   * Null if none of the layers is adapted. `weight`: the product's own [out, in], which DoRA needs.
   * The block uploads its numbers again whenever the adapters change.
   */
  static async of(
    context: ModelContext,
    slots: readonly ProductSlot[],
    size: Omit<LoraBlockSize, 'r'>,
    weight: WeightTensor,
  ): Promise<LoraBlock | null> {
    const { adapters } = context;
    let r = 0;
    const parts = slots.flatMap((slot) =>
      adapters.modulesAt(slot.path).map((module): LoraBlockPart => {
        const rank = r;
        r += module.r;
        return { ...slot, module, rank };
      }),
    );
    if (parts.length === 0) return null;
    const block = new LoraBlock(context, parts, { ...size, r }, weight);
    await block.upload();
    if (block.isWritten) {
      block.uploadOrder();
      adapters.written.add(() => block.matrices());
    }
    adapters.onChange((rescaled) => block.refresh(rescaled));
    return block;
  }

  /** Whether a kernel writes the trained numbers into the block's tensors after each step. */
  private get isWritten(): boolean {
    const { adapters } = this.context;
    return adapters.writes !== null && this.trains && !this.hasDora;
  }

  private matrices(): FactorMatrices {
    const { A, B, order } = this;
    const parts = this.parts.flatMap(({ module, row, rows, rank }): PlacedFactors[] => {
      const { A: a, B: b, r, in_features } = module;
      if (a.kind === 'frozen' || b.kind === 'frozen') return [];
      const scaling = this.context.adapters.scalingOf(module);
      const places = { a: a.parameter.offset, b: b.parameter.offset };
      return [{ ...places, r, in_features, row, rows, rank, scaling }];
    });
    return { A, B, order, parts };
  }

  /**
   * Adds to the gradients of blocks: `terms` are dA and dB of each as in `accumulate`,
   * dB behind dA, and one block's behind the other's. Frees them.
   */
  static async accumulateAll(ops: Ops, blocks: readonly LoraBlock[], terms: Tensor): Promise<void> {
    const numbers = await downloadAndFree(ops, terms);
    let at = 0;
    for (const block of blocks) {
      const middle = at + elementCount(block.A.shape);
      const end = middle + elementCount(block.B.shape);
      block.accumulate(numbers.subarray(at, middle), numbers.subarray(middle, end));
      at = end;
    }
  }

  /** Adds to the gradients: dA [r, in], and the transpose of dB [r, out] of the scaled B. */
  accumulate(dA: Float32Array, dB: Float32Array): void {
    const { adapters } = this.context;
    const { out_features } = this.size;
    for (const { module, row, rows, rank, order } of this.parts) {
      const { A, B, r, in_features } = module;
      if (A.kind === 'frozen' || B.kind === 'frozen') continue;
      const moduleA = dA.subarray(rank * in_features, (rank + r) * in_features);
      addInto(adapters.parameters.gradient(A.parameter), moduleA);
      const gradientB = adapters.parameters.gradient(B.parameter);
      const scaling = adapters.scalingOf(module);
      for (let i = 0; i < rows; i++) {
        const to = (order ? order[i]! : i) * r;
        for (let j = 0; j < r; j++)
          gradientB[to + j]! += scaling * dB[(rank + j) * out_features + row + i]!;
      }
    }
  }

  /**
   * Adds to the gradients of the magnitudes: the sums over n of dy · z / ‖W + dW‖, with the product
   * z [n, out] before the factor. Frees neither.
   */
  async accumulateMagnitudes(dy: Tensor, z: Tensor): Promise<void> {
    const { ops, adapters } = this.context;
    const sums = await downloadAndFree(ops, columnDots(ops, dy, z));
    for (const { module, row, rows, order } of this.parts) {
      if (module.magnitude?.kind !== 'trained') continue;
      const gradient = adapters.parameters.gradient(module.magnitude.parameter);
      for (let i = 0; i < rows; i++) {
        gradient[order ? order[i]! : i]! += sums[row + i]! * this.inverseNorms![row + i]!;
      }
    }
  }

  dispose(): void {
    this.freeNumbers();
    if (this.order) this.context.ops.free(this.order);
  }

  private freeNumbers(): void {
    this.context.ops.free(this.A, this.B, ...(this.factor ? [this.factor] : []));
  }

  private async refresh(rescaled: boolean): Promise<void> {
    if (!rescaled && (!this.trains || this.isWritten)) return;
    this.freeNumbers();
    await this.upload();
  }

  private uploadOrder(): void {
    if (this.parts.every(({ order }) => order === null)) return;
    const { out_features } = this.size;
    const rowsOf = new Int32Array(out_features);
    for (const { row, rows, order } of this.parts)
      for (let i = 0; i < rows; i++) rowsOf[row + i] = order ? order[i]! : i;
    this.order = this.context.ops.upload(rowsOf, [out_features]);
  }

  private async upload(): Promise<void> {
    const { ops, adapters } = this.context;
    const { r, in_features, out_features } = this.size;
    const A = this.host?.A ?? new Float32Array(r * in_features);
    const B = this.host?.B ?? new Float32Array(out_features * r);
    // the same places are written each time
    if (this.trains && !this.isWritten) this.host = { A, B };
    for (const { module, row, rows, rank, order } of this.parts) {
      A.set(adapters.read(module.A), rank * in_features);
      const moduleB = adapters.read(module.B);
      const scaling = adapters.scalingOf(module);
      for (let i = 0; i < rows; i++) {
        const from = (order ? order[i]! : i) * module.r;
        const to = (row + i) * r + rank;
        for (let j = 0; j < module.r; j++) B[to + j] = scaling * moduleB[from + j]!;
      }
    }
    this.A = ops.upload(A, [r, in_features]);
    this.B = ops.upload(B, [out_features, r]);
    if (this.hasDora) await this.uploadFactor(A, B);
  }

  /** Uploads DoRA's factor for A and the scaled B. */
  private async uploadFactor(A: Float32Array, B: Float32Array): Promise<void> {
    const { ops, adapters } = this.context;
    const { r, out_features } = this.size;
    this.squares ??= await this.rowSquares();
    // W Aᵀ [out, r]
    const product = this.weight.use((numbers) =>
      withF32(ops, numbers, (weight) => ops.matMul(weight, this.A, false, true)),
    );
    const WA = await downloadAndFree(ops, product);
    const factor = new Float32Array(out_features).fill(1);
    this.inverseNorms = new Float32Array(out_features);
    for (const part of this.parts) {
      const { module, row, rows, order } = part;
      if (!module.magnitude) continue;
      const squares = updatedSquares(part, this.squares, { A, B, WA, r });
      const magnitude = adapters.read(module.magnitude);
      for (let i = 0; i < rows; i++) {
        this.inverseNorms[row + i] = 1 / Math.sqrt(squares[i]!);
        factor[row + i] = magnitude[order ? order[i]! : i]! * this.inverseNorms[row + i]!;
      }
    }
    this.factor = ops.upload(factor, [out_features]);
  }

  private async rowSquares(): Promise<Float32Array> {
    const { ops } = this.context;
    const squares = this.weight.use((weight) => ops.mul(weight, weight));
    const sums = await downloadAndFree(ops, ops.sum(squares));
    ops.free(squares);
    return sums.slice();
  }
}

/**
 * ‖w + b A‖² = ‖w‖² + 2 b · (A w) + b (A Aᵀ) bᵀ for each row w of W and b of the scaled B that
 * belong to a part, without forming dW.
 */
function updatedSquares(
  { module, row, rows, rank }: LoraBlockPart,
  wSquares: Float32Array,
  { A, B, WA, r }: BlockNumbers,
): Float64Array {
  const { in_features, r: ranks } = module;
  const gram = gramMatrix(A.subarray(rank * in_features, (rank + ranks) * in_features), ranks);
  const squares = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const at = (row + i) * r + rank;
    let square = wSquares[row + i]!;
    for (let j = 0; j < ranks; j++) {
      let sum = 2 * WA[at + j]!;
      for (let k = 0; k < ranks; k++) sum += B[at + k]! * gram[j * ranks + k]!;
      square += B[at + j]! * sum;
    }
    squares[i] = square;
  }
  return squares;
}

/** A Aᵀ [r, r] of A [r, in] */
function gramMatrix(A: Float32Array, r: number): Float64Array {
  const width = A.length / r;
  const gram = new Float64Array(r * r);
  for (let i = 0; i < r; i++) {
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let k = 0; k < width; k++) dot += A[i * width + k]! * A[j * width + k]!;
      gram[i * r + j] = dot;
      gram[j * r + i] = dot;
    }
  }
  return gram;
}
