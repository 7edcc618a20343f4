export const MAX_RANK = 256;

/** Ranks of the slider: every one among low ranks, where one more matters most. */
export const STOPS: readonly number[] = [
  1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160,
  192, 224, 256,
];

/** Index of the stop nearest to a rank. */
export const stopOf = (r: number): number =>
  STOPS.reduce((best, stop, i) => (Math.abs(stop - r) < Math.abs(STOPS[best]! - r) ? i : best), 0);
