import { createRandom, shuffle } from '../../shared/random';

/**
 * Draws a share of the examples as the validation set: at least one and never all, if there are at
 * least two. Both parts keep the order of the examples.
 */
export function splitExamples(
  examples: Int32Array,
  share: number,
  seed: number,
): { readonly train: Int32Array; readonly validation: Int32Array } {
  if (share <= 0 || examples.length < 2) return { train: examples, validation: new Int32Array(0) };
  const count = Math.min(examples.length - 1, Math.max(1, Math.round(examples.length * share)));
  const order = shuffle([...examples.keys()], createRandom(seed, 'validation split'));
  const isDrawn = new Uint8Array(examples.length);
  for (const i of order.slice(0, count)) isDrawn[i] = 1;
  return {
    train: examples.filter((_, i) => isDrawn[i] === 0),
    validation: examples.filter((_, i) => isDrawn[i] === 1),
  };
}
