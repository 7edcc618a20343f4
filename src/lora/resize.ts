import { truncateRank, withRankPatterns } from './combine';
import { updateSvd } from './updateSvd';
import type { Adapter, LoraFactors } from './adapter';

/**
 * How small the rank may become: so many, or as few as keep that share of ‖dW‖², or as leave an
 * error below that share of ‖dW‖.
 */
export type ResizeTarget =
  | { readonly kind: 'rank'; readonly rank: number }
  | { readonly kind: 'energy'; readonly energy: number }
  | { readonly kind: 'error'; readonly error: number };

export interface Resized {
  readonly adapter: Adapter;
  /** ‖dW - dW'‖ / ‖dW‖ over all layers. */
  readonly error: number;
  readonly modules: readonly {
    readonly path: string;
    readonly before: number;
    readonly after: number;
    readonly error: number;
  }[];
}

/** The best adapter of smaller ranks (truncated SVD of each update). */
export function resizeFactors(adapter: Adapter, target: ResizeTarget): Resized {
  let [lost, whole] = [0, 0];
  const facts: Resized['modules'][number][] = [];
  const modules = adapter.modules.map((m): LoraFactors => {
    const squares = updateSvd(m).S.map((s) => s * s);
    const total = squares.reduce((a, b) => a + b, 0);
    const r = Math.min(m.r, Math.max(1, rankForTarget(squares, total, target)));
    const rest = squares.slice(r).reduce((a, b) => a + b, 0);
    lost += rest;
    whole += total;
    facts.push({
      path: m.path,
      before: m.r,
      after: r,
      error: total > 0 ? Math.sqrt(rest / total) : 0,
    });
    return truncateRank(m, r);
  });
  return {
    adapter: withRankPatterns(adapter, modules),
    error: whole > 0 ? Math.sqrt(lost / whole) : 0,
    modules: facts,
  };
}

/** The smallest rank that, given to all modules, keeps that share of Σ‖dW‖². */
export function rankKeepingEnergy(adapter: Pick<Adapter, 'modules'>, energy: number): number {
  const sums: number[] = [];
  for (const m of adapter.modules)
    updateSvd(m).S.forEach((s, i) => {
      sums[i] = (sums[i] ?? 0) + s * s;
    });
  const squares = Float64Array.from(sums);
  return Math.max(
    1,
    rankForTarget(
      squares,
      squares.reduce((a, b) => a + b, 0),
      { kind: 'energy', energy },
    ),
  );
}

/** How many of the squared singular values it takes. */
export function rankForTarget(squares: Float64Array, total: number, target: ResizeTarget): number {
  if (target.kind === 'rank') return target.rank;
  const share = target.kind === 'energy' ? target.energy : 1 - target.error ** 2;
  let held = 0;
  const at = squares.findIndex((square) => (held += square) >= share * total * (1 - 1e-12));
  return at < 0 ? squares.length : at + 1;
}
