import type { Tensor } from '../ops/ops';
import type { ModelInput } from '../model';

/** What makes the vectors that the first layer reads. */
export interface EmbeddingLayer<Saved> {
  readonly trains: boolean;
  /** x [n, d]; `saved` is for `backward`, or for `release`. */
  forward(input: ModelInput, keep: boolean): { readonly x: Tensor; readonly saved: Saved };
  /** Adds the gradients for dx [n, d], which it frees with what was saved. */
  backward(input: ModelInput, dx: Tensor, saved: Saved): Promise<void>;
  release(saved: Saved): void;
}
