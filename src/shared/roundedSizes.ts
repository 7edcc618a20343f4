const STEP = 16;

/**
 * n rounded up to a multiple of 16, as far as `most` allows. For each shape that its products have,
 * libtensorflow makes code of its own and keeps it: sizes that come again save memory.
 */
export const roundedUp = (n: number, most: number): number =>
  Math.max(n, Math.min(most, STEP * Math.ceil(n / STEP)));
