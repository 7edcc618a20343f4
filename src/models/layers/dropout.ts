/** Dropout of one batch in training; null elsewhere. */
export interface Dropout {
  readonly rate: number;
  readonly seed: number;
}

/**
 * A seed for one module's mask (MurmurHash3's finalizer over both numbers): the same in the forward
 * and in the backward pass.
 */
export function dropoutSeed(dropout: Dropout, module: number): number {
  let h = Math.imul(dropout.seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(module + 1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
