import { createRandom, shuffle } from '../../shared/random';

/**
 * Draws a share of the examples as the validation set: at least one and never all, if there are at
 * least two. Both parts keep the order of the examples.
 */
export function splitExamples<T>(
  examples: readonly T[],
  share: number,
  seed: number,
): { readonly train: readonly T[]; readonly validation: readonly T[] } {
  if (share <= 0 || examples.length < 2) return { train: examples, validation: [] };
  const count = Math.min(examples.length - 1, Math.max(1, Math.round(examples.length * share)));
  const drawn = new Set(
    shuffle([...examples.keys()], createRandom(seed, 'validation split')).slice(0, count),
  );
  return {
    train: examples.filter((_, i) => !drawn.has(i)),
    validation: examples.filter((_, i) => drawn.has(i)),
  };
}
