import type { Routes } from './routing';

/** Counts which experts each mixture of a model chooses, in the order of its layers. */
export interface ExpertCounter {
  /** Whether a row is a token, not padding; null: all are. */
  readonly isToken: ArrayLike<number> | null; // [m]
  /** Choices of each expert; a mixture adds its own. */
  readonly counts: Float64Array[]; // [mixtures][experts]
}

/** Adds the choices of one mixture. */
export function countExperts(
  { isToken, counts }: ExpertCounter,
  { rows, experts }: Routes,
  num_experts: number,
): void {
  const own = new Float64Array(num_experts);
  rows.forEach((row, pair) => (own[experts[pair]!]! += isToken?.[row] === 0 ? 0 : 1));
  counts.push(own);
}

/** The sums of counts of the same mixtures; those of the other alone where one has none. */
export function addCounts(
  total: readonly Float64Array[],
  more: readonly Float64Array[],
): readonly Float64Array[] {
  if (total.length === 0) return more;
  return total.map((own, mixture) => own.map((n, expert) => n + (more[mixture]?.[expert] ?? 0)));
}

/**
 * The load of the busiest expert: its choices relative to an even split, as the mean over the
 * mixtures. 1 if all experts have as many, experts / top_k if a few have all. Nothing without a
 * choice.
 */
export function expertScores(counts: readonly Float64Array[]): { readonly expert_load?: number } {
  const loads = counts.flatMap((own) => {
    const sum = own.reduce((total, n) => total + n, 0);
    return sum === 0 ? [] : [(Math.max(...own) * own.length) / sum];
  });
  if (loads.length === 0) return {};
  return { expert_load: loads.reduce((total, load) => total + load, 0) / loads.length };
}
