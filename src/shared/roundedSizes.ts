const STEP = 16;

/**
 * n rounded up to a multiple of 16, at most `most` (or n, if that is larger). libtensorflow
 * compiles and caches code for each shape of a product, so reusing few sizes saves memory.
 */
export const roundedUp = (n: number, most: number): number =>
  Math.max(n, Math.min(most, STEP * Math.ceil(n / STEP)));
