import type { Adapter, LoraFactors } from './adapter';
import { truncateRank, withRankPatterns } from './combine';
import { updateSvd } from './updateSvd';

/**
 * How far the ranks are reduced: to a rank; to the smallest rank that keeps a share of ‖dW‖²; or to
 * the smallest rank with ‖dW - dW'‖ at most a share of ‖dW‖.
 */
export type ResizeTarget =
  | { readonly kind: 'rank'; readonly rank: number }
  | { readonly kind: 'energy'; readonly energy: number }
  | { readonly kind: 'error'; readonly error: number };

export interface Resized {
  readonly adapter: Adapter;
  /** ‖dW - dW'‖ / ‖dW‖ over all layers; null where dW is zero. */
  readonly error: number | null;
  readonly modules: readonly ResizedModule[];
}

export interface ResizedModule {
  readonly path: string;
  /** Rank before and after. */
  readonly before: number;
  readonly after: number;
  /** ‖dW - dW'‖ / ‖dW‖ */
  readonly error: number;
}

/** Room for rounding where a sum of squares is compared with a share of the total. */
const ROUNDING = 1e-12;

/** The closest adapter of smaller ranks: the truncated SVD of each update. */
export function resizeFactors(adapter: Adapter, target: ResizeTarget): Resized {
  let lost = 0;
  let total = 0;
  const modules: LoraFactors[] = [];
  const resized: ResizedModule[] = [];
  for (const m of adapter.modules) {
    const squares = squaredSingularValues(m);
    const own = sum(squares);
    const r = Math.min(m.r, Math.max(1, rankForTarget(squares, own, target)));
    const ownLost = sum(squares.slice(r));
    lost += ownLost;
    total += own;
    modules.push(truncateRank(m, r));
    resized.push({ path: m.path, before: m.r, after: r, error: rootShare(ownLost, own) });
  }
  return {
    adapter: withRankPatterns(adapter, modules),
    error: total > 0 ? rootShare(lost, total) : null,
    modules: resized,
  };
}

/** The smallest rank that, given to all modules, keeps a share of Σ‖dW‖². At least 1. */
export function rankKeepingEnergy(adapter: Pick<Adapter, 'modules'>, energy: number): number {
  const sums: number[] = [];
  for (const m of adapter.modules) {
    squaredSingularValues(m).forEach((square, i) => {
      sums[i] = (sums[i] ?? 0) + square;
    });
  }
  const squares = Float64Array.from(sums);
  return Math.max(1, rankForTarget(squares, sum(squares), { kind: 'energy', energy }));
}

/**
 * How many singular values a target keeps, the largest first.
 *
 * @param squares Squared singular values, descending; possibly not all of them.
 * @param total ‖dW‖²
 */
export function rankForTarget(squares: Float64Array, total: number, target: ResizeTarget): number {
  if (target.kind === 'rank') return target.rank;
  const share = target.kind === 'energy' ? target.energy : 1 - target.error ** 2;
  return rankHolding(squares, share * total);
}

/** The least number of squares, the largest first, whose sum is at least `wanted`; else all. */
export function rankHolding(squares: Float64Array, wanted: number): number {
  let held = 0;
  for (const [i, square] of squares.entries()) {
    held += square;
    if (held >= wanted * (1 - ROUNDING)) return i + 1;
  }
  return squares.length;
}

const squaredSingularValues = (m: LoraFactors): Float64Array => updateSvd(m).S.map((s) => s * s);

const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);

const rootShare = (part: number, whole: number): number =>
  whole > 0 ? Math.sqrt(part / whole) : 0;
