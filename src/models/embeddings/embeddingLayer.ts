import type { Dropout } from '../layers/dropout';
import type { ModelInput } from '../model';
import type { Tensor } from '../ops/ops';

/** Computes the vectors that the first layer reads. */
export interface EmbeddingLayer<Saved> {
  readonly trains: boolean;
  /** The caller frees x, and passes `saved` to `backward` or `release`. */
  // [n, d]
  forward(
    input: ModelInput,
    keep: boolean,
    dropout?: Dropout | null,
  ): { readonly x: Tensor; readonly saved: Saved };
  /** Accumulates the gradients for dx [n, d]. Frees dx and what was saved. */
  backward(input: ModelInput, dx: Tensor, saved: Saved, dropout?: Dropout | null): Promise<void>;
  release(saved: Saved): void;
}
