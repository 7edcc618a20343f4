import type { FusedOps } from '../ops/fusedOps';
import type { Tensor } from '../ops/ops';

/** A trained module's factors within the matrices of its block. */
export interface PlacedFactors {
  /** Where A [r, in] and B [rows, r] begin in the flat vector. */
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
export interface FactorMatrices {
  readonly A: Tensor; // [ranks, in]
  readonly B: Tensor; // [out, ranks], scaled
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
    fused.writeFactors(
      theta,
      wordsOf(blocks),
      blocks.flatMap(({ A, B }) => [A, B]),
    );
  }
}

/** PlacedFactors of src/runtime/kernels/adapter.cc. */
const wordsOf = (blocks: readonly FactorMatrices[]): Int32Array =>
  new Int32Array(
    Float64Array.from(
      blocks.flatMap(({ A, parts }, block) =>
        parts.flatMap(({ a, b, r, in_features, row, rows, rank, scaling }) => [
          ...[block, a, b, r, in_features, row, rows, rank, A.shape[0]!, scaling],
        ]),
      ),
    ).buffer,
  );
