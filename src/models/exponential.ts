/** Steps of the table between two powers of 2, as a power of 2. */
const STEP_BITS = 11;
const STEPS = 1 << STEP_BITS;
/** Below this the result is treated as 0. */
const LEAST = -700;
const LEAST_POWER = Math.floor(LEAST * Math.LOG2E) - 1;

const fractions = Float64Array.from({ length: STEPS }, (_, i) => 2 ** (i / STEPS));
const powers = Float64Array.from({ length: -LEAST_POWER + 1 }, (_, i) => 2 ** (i + LEAST_POWER));

/**
 * exp(x) for x up to 0, in a quarter of the time of Math.exp: of each token of a vocabulary that
 * counts. The relative error is below 1e-13.
 */
export function exponential(x: number): number {
  if (!(x >= LEAST)) return 0;
  const y = x * (Math.LOG2E * STEPS);
  const step = Math.floor(y);
  const rest = (y - step) * (Math.LN2 / STEPS);
  const power = powers[(step >> STEP_BITS) - LEAST_POWER]!;
  return fractions[step & (STEPS - 1)]! * power * (1 + rest * (1 + rest * (0.5 + rest / 6)));
}
