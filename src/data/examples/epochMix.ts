import { createRandom, shuffle } from '../../shared/random';

/** Examples of one source, and how often each is drawn in an epoch. */
export interface WeightedExamples {
  readonly indices: Int32Array;
  readonly weight: number;
}

/**
 * The examples that are drawn in an epoch, in the order of their sources: each floor(weight) times,
 * and round(fraction · n) of the n once more. Those are the next ones of a random order that the
 * seed gives, which begins anew at its end, so that no example is drawn once more before all others
 * were. At least one example of each source is drawn.
 *
 * @param epoch From 0.
 */
export function drawnIn(
  epoch: number,
  sources: readonly WeightedExamples[],
  seed: number,
): Int32Array {
  const parts = sources.map(({ indices, weight }, i) => {
    const { whole, extra } = countsOf(indices.length, weight);
    const drawn: Int32Array[] = Array.from({ length: whole }, () => indices);
    if (extra > 0) {
      const order = shuffle([...indices.keys()], createRandom(seed, 'source', i));
      const from = epoch * extra;
      drawn.push(
        Int32Array.from({ length: extra }, (_, k) => indices[order[(from + k) % order.length]!]!),
      );
    }
    return drawn;
  });
  const all = parts.flat();
  const joined = new Int32Array(all.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of all) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** How many examples of `n` are drawn in each epoch. */
export function drawnCount(n: number, weight: number): number {
  const { whole, extra } = countsOf(n, weight);
  return whole * n + extra;
}

function countsOf(n: number, weight: number) {
  const whole = Math.floor(weight);
  const extra = Math.round((weight - whole) * n);
  return { whole, extra: whole === 0 && n > 0 ? Math.max(1, extra) : extra };
}
