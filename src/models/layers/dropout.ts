import type { DropoutForm } from '../ops/dropoutForm';
import type { LoraBlock } from './loraBlock';

/** Dropout on the inputs of A for one training batch; null elsewhere. */
export interface Dropout {
  /** Probability that an input is dropped, in [0, 1). */
  readonly rate: number;
  readonly seed: number;
}

/**
 * The seed of one module's mask (MurmurHash3's finalizer over both numbers): the backward pass gets
 * the mask of the forward pass.
 */
export function dropoutSeed(dropout: Dropout, module: number): number {
  let h = Math.imul(dropout.seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(module + 1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Of a block, for the kernels; null: none of its modules trains, and frozen ones drop nothing. */
export function dropoutForm(dropout: Dropout, { parts, trains }: LoraBlock): DropoutForm | null {
  if (!trains) return null;
  const { rate } = dropout;
  return {
    rate,
    parts: parts.map(({ module: { r, number } }) => ({
      r,
      seed: number === null ? null : dropoutSeed(dropout, number),
    })),
  };
}
