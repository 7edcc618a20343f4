/** The parts that a pair can have beside its two texts: hard negatives, and a score. */
export const pairParts = <T>(negatives: readonly T[], score: number | undefined) => ({
  ...(negatives.length > 0 && { negatives }),
  ...(score !== undefined && { score }),
});
