/** The rank to start with where the examples cannot be counted quickly. */
const DEFAULT_RANK = 8;

/**
 * A rank to start with for a number of examples: few examples need few directions (Hu et al. 2021,
 * section 7.2, found ranks from 1 to 8 to be enough). Null: the number is unknown.
 */
export function usualRank(rows: number | null): number {
  if (rows === null) return DEFAULT_RANK;
  if (rows < 500) return 4;
  if (rows < 10_000) return 8;
  return rows < 100_000 ? 16 : 32;
}
