import type { Adapters, LoraModule } from '../adapters';
import { columnSums, withF32, type Ops, type Tensor } from '../ops/ops';
import { addInto } from '../training/parameters';

/** The rows of a linear layer's own matrix within a (fused) product. */
export interface ProductSlot {
  readonly path: string;
  /** First row in the product, and how many. */
  readonly row: number;
  readonly rows: number;
  /** Row of the layer's own matrix for each of them; null: the same. */
  readonly order: Int32Array | null;
}

interface Part extends ProductSlot {
  readonly module: LoraModule;
  /** Where its ranks start in the block. */
  readonly rank: number;
}

/**
 * The LoRA modules of one (fused) product as two matrices: x Aᵀ Bᵀ is their whole contribution,
 * scaling included.
 */
export class LoraBlock {
  A!: Tensor; // [r, in]
  B!: Tensor; // [out, r], scaled
  /**
   * DoRA: what each output is multiplied with, magnitude / ‖W + dW‖, 1 where there is none. [out]
   */
  factor: Tensor | null = null;
  /** 1 / ‖W + dW‖ of each row; 0 where there is no DoRA. */
  private inverseNorms: Float32Array | null = null;
  private squares: Float32Array | null = null;
  readonly trains: boolean;
  readonly hasDora: boolean;

  private constructor(
    private readonly ops: Ops,
    private readonly adapters: Adapters,
    readonly parts: readonly Part[],
    readonly r: number,
    readonly in_features: number,
    readonly out_features: number,
    private readonly weight: () => Tensor,
  ) {
    this.trains = parts.some((p) => p.module.number !== null);
    this.hasDora = parts.some((p) => p.module.magnitude);
  }

  /** Null where none of the layers is adapted. `weight` [out, in] is the product's own. */
  static async of(
    ops: Ops,
    adapters: Adapters,
    slots: readonly ProductSlot[],
    in_features: number,
    out_features: number,
    weight: () => Tensor,
  ): Promise<LoraBlock | null> {
    let r = 0;
    const parts = slots.flatMap((slot) =>
      adapters.modulesAt(slot.path).map((module): Part => {
        const rank = r;
        r += module.r;
        return { ...slot, module, rank };
      }),
    );
    if (parts.length === 0) return null;
    const block = new LoraBlock(ops, adapters, parts, r, in_features, out_features, weight);
    await block.upload();
    adapters.onChange((rescaled) => block.refresh(rescaled));
    return block;
  }

  /** Adds gradients: dA [r, in], and dB [out, r] for the scaled B. */
  accumulate(dA: Float32Array, dB: Float32Array): void {
    const { parameters } = this.adapters;
    for (const { module, row, rows, rank, order } of this.parts) {
      const { A, B, r, in_features } = module;
      if (A.kind === 'frozen' || B.kind === 'frozen') continue;
      addInto(
        parameters.gradient(A.parameter),
        dA.subarray(rank * in_features, (rank + r) * in_features),
      );
      const into = parameters.gradient(B.parameter);
      const scaling = this.adapters.scalingOf(module);
      for (let i = 0; i < rows; i++) {
        const to = (order ? order[i]! : i) * r;
        const from = (row + i) * this.r + rank;
        for (let j = 0; j < r; j++) into[to + j]! += scaling * dB[from + j]!;
      }
    }
  }

  /**
   * Adds the gradient of the magnitudes: dy · z / ‖W + dW‖ with z [n, out] the product before the
   * factor.
   */
  async accumulateMagnitudes(dy: Tensor, z: Tensor): Promise<void> {
    const { ops } = this;
    const product = ops.mul(dy, z);
    const sums = columnSums(ops, product);
    const d = await ops.download(sums);
    ops.free(product, sums);
    for (const { module, row, rows, order } of this.parts) {
      if (module.magnitude?.kind !== 'trained') continue;
      const into = this.adapters.parameters.gradient(module.magnitude.parameter);
      for (let i = 0; i < rows; i++)
        into[order ? order[i]! : i]! += d[row + i]! * this.inverseNorms![row + i]!;
    }
  }

  dispose(): void {
    this.ops.free(this.A, this.B, ...(this.factor ? [this.factor] : []));
  }

  private async refresh(rescaled: boolean): Promise<void> {
    if (!this.trains && !rescaled) return;
    this.dispose();
    await this.upload();
  }

  private async upload(): Promise<void> {
    const { adapters, r, in_features, out_features } = this;
    const A = new Float32Array(r * in_features);
    const B = new Float32Array(out_features * r);
    for (const { module, row, rows, rank, order } of this.parts) {
      A.set(adapters.read(module.A), rank * in_features);
      const own = adapters.read(module.B);
      const scaling = adapters.scalingOf(module);
      for (let i = 0; i < rows; i++) {
        const from = (order ? order[i]! : i) * module.r;
        const to = (row + i) * r + rank;
        for (let j = 0; j < module.r; j++) B[to + j] = scaling * own[from + j]!;
      }
    }
    this.A = this.ops.upload(A, [r, in_features]);
    this.B = this.ops.upload(B, [out_features, r]);
    if (this.hasDora) await this.uploadFactor(A, B);
  }

  /**
   * ‖w + b A‖² = ‖w‖² + 2 b · (A w) + b (A Aᵀ) bᵀ for each row w of W and b of the scaled B: dW is
   * never formed.
   */
  private async uploadFactor(A: Float32Array, B: Float32Array): Promise<void> {
    const { ops, r, out_features, in_features } = this;
    this.squares ??= await this.rowSquares();
    // [out, r]
    const along = withF32(ops, this.weight(), (weight) => ops.matMul(weight, this.A, false, true));
    const WA = await ops.download(along);
    ops.free(along);
    const factor = new Float32Array(out_features).fill(1);
    this.inverseNorms = new Float32Array(out_features);
    for (const { module, row, rows, rank, order } of this.parts) {
      if (!module.magnitude) continue;
      const gram = gramOf(
        A.subarray(rank * in_features, (rank + module.r) * in_features),
        module.r,
      );
      const magnitude = this.adapters.read(module.magnitude);
      for (let i = row; i < row + rows; i++) {
        let square = this.squares[i]!;
        for (let j = 0; j < module.r; j++) {
          const b = B[i * r + rank + j]!;
          let through = 2 * WA[i * r + rank + j]!;
          for (let k = 0; k < module.r; k++)
            through += B[i * r + rank + k]! * gram[j * module.r + k]!;
          square += b * through;
        }
        this.inverseNorms[i] = 1 / Math.sqrt(square);
        factor[i] = magnitude[order ? order[i - row]! : i - row]! * this.inverseNorms[i]!;
      }
    }
    this.factor = ops.upload(factor, [out_features]);
  }

  private async rowSquares(): Promise<Float32Array> {
    const { ops } = this;
    const weight = this.weight();
    const squares = ops.mul(weight, weight);
    const sums = ops.sum(squares);
    const result = await ops.download(sums);
    ops.free(squares, sums);
    return result.slice();
  }
}

/** A Aᵀ [r, r] */
function gramOf(A: Float32Array, r: number): Float64Array {
  const width = A.length / r;
  const gram = new Float64Array(r * r);
  for (let i = 0; i < r; i++) {
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let k = 0; k < width; k++) dot += A[i * width + k]! * A[j * width + k]!;
      gram[i * r + j] = gram[j * r + i] = dot;
    }
  }
  return gram;
}
