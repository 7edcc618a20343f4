import type { FusedOps, PlacedMatrices } from '../ops/fusedOps';

/** A trained module's factors within the matrices of its block. */
export interface PlacedFactors {
  /** Where A [r, in] and B [.., r] begin in the flat vector. */
  readonly a: number;
  readonly b: number;
  readonly r: number;
  readonly in_features: number;
  /** Its first row and first rank in the block. */
  readonly row: number;
  readonly rows: number;
  readonly rank: number;
  readonly scaling: number;
}

/** The matrices that the factors of a product are uploaded as. */
export interface FactorMatrices extends PlacedMatrices {
  readonly parts: readonly PlacedFactors[];
}

/** The matrices of blocks that the kernels change in place after each step. */
export class WrittenFactors {
  private readonly blocks: (() => FactorMatrices)[] = [];

  /** `matrices`: those that the block has when they are written. */
  add(matrices: () => FactorMatrices): void {
    this.blocks.push(matrices);
  }

  /** Writes the present numbers `theta`, which are of `allocateHostF32`. */
  write(fused: Pick<FusedOps, 'writeFactors'>, theta: Float32Array): void {
    if (this.blocks.length === 0) return;
    const blocks = this.blocks.map((matrices) => matrices());
    fused.writeFactors(theta, wordsOf(blocks), blocks);
  }
}

/** PlacedFactors of src/runtime/kernels/factors.cc. */
function wordsOf(blocks: readonly FactorMatrices[]): Int32Array {
  const words = blocks.flatMap(({ A, B, parts }, block) =>
    parts.flatMap(({ a, b, r, in_features, row, rows, rank, scaling }) => [
      ...[block, a, b, r, in_features, row, rows, rank, A.shape[0]!, B.shape[0]!, scaling],
    ]),
  );
  return new Int32Array(Float64Array.from(words).buffer);
}
