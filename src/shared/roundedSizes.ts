const STEP = 16;

/**
 * n rounded up to a multiple of 16, but not beyond `most` (unless n is). libtensorflow compiles and
 * caches code for each shape of a product, so reusing few sizes saves memory.
 */
export const roundedUp = (n: number, most: number): number =>
  Math.max(n, Math.min(most, STEP * Math.ceil(n / STEP)));
