import type { FusedOps } from '../ops/fusedOps';
import type { Ops } from '../ops/ops';
import type { Tensor } from '../ops/tensor';

/** Tokens of a block; the last one may have fewer. */
export const BLOCK_TOKENS = 64;

/** What is known of the logits of one place before any of them is looked at. */
export interface LogitBlocks {
  /** The largest logit of each block. */
  readonly largest: Float32Array;
  /**
   * Of each block the sum of exp((z - the largest of all) / temperature), at the temperature at
   * which the next token is drawn; 0 where that is 0.
   */
  readonly sums: Float64Array;
}

/** The blocks of logits z [m, vocab] for the temperatures of their rows. */
export async function logitBlocks(
  ops: Ops,
  fused: FusedOps,
  z: Tensor,
  temperatures: readonly number[],
): Promise<readonly LogitBlocks[]> {
  const { largest, sums } = fused.weigh(z, temperatures, BLOCK_TOKENS);
  const [most, bits] = [await ops.download(largest), await ops.download(sums)];
  ops.free(largest, sums);
  const count = largest.shape[1]!;
  const weights = new Float64Array(bits.slice().buffer);
  return temperatures.map((_, row) => ({
    largest: most.subarray(row * count, (row + 1) * count),
    sums: weights.subarray(row * count, (row + 1) * count),
  }));
}
