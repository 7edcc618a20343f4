import { isBetter, type BestMetric } from '../bestMetric';

/** A configuration of a tune, and the rungs that it has reached. */
export interface Trial {
  /** Its best score up to each of the rungs so far; NaN where it failed. */
  readonly scores: readonly number[];
  /** It trains towards its next rung. */
  readonly isTraining: boolean;
}

/** What the next step of a tune depends on beside its configurations. */
export interface Halving {
  /** Of `eta` configurations that reach a rung, one continues. */
  readonly eta: number;
  /** How many rungs there are. */
  readonly rungs: number;
  readonly metric: BestMetric;
  /** How many configurations may begin. */
  readonly configurations: number;
  /** Whether a configuration can reach a rung within the budget. */
  readonly fits: (trial: number, rung: number) => boolean;
}

/** A configuration that is to be trained up to a rung. */
export interface Promotion {
  readonly trial: number;
  readonly rung: number;
}

/**
 * What is to be trained next: by asynchronous successive halving (Li et al. 2020, "A System for
 * Massively Parallel Hyperparameter Tuning", MLSys, algorithm 2) a configuration among the best
 * 1/eta of the highest possible rung, else a new one. When there is neither and nothing trains any
 * more, the best of the highest rung continues alone, so that the rest of the budget is used for
 * what the tune will recommend. Null: nothing for now.
 *
 * @param trials In the order in which they begin.
 */
export function nextPromotion(trials: readonly Trial[], halving: Halving): Promotion | null {
  const { rungs, configurations, fits } = halving;
  for (let rung = rungs - 1; rung >= 1; rung--) {
    const trial = promotable(trials, rung - 1, halving).find((each) => fits(each, rung));
    if (trial !== undefined) return { trial, rung };
  }
  const fresh = trials.findIndex(
    ({ scores, isTraining }, trial) => scores.length === 0 && !isTraining && fits(trial, 0),
  );
  const begun = trials.filter(({ scores, isTraining }) => scores.length > 0 || isTraining).length;
  if (fresh >= 0 && begun < configurations) return { trial: fresh, rung: 0 };
  if (trials.some(({ isTraining }) => isTraining)) return null;
  return lastPromotion(trials, halving);
}

/** The best 1/eta of those that have reached a rung, without those that have gone on already. */
function promotable(
  trials: readonly Trial[],
  rung: number,
  { eta, metric }: Halving,
): readonly number[] {
  const ranked = rankedAt(trials, rung, metric);
  return ranked
    .slice(0, Math.floor(ranked.length / eta))
    .filter((trial) => mayGoOn(trials[trial]!, rung));
}

const mayGoOn = ({ scores, isTraining }: Trial, rung: number): boolean =>
  scores.length === rung + 1 && !isTraining && !Number.isNaN(scores[rung]);

function lastPromotion(trials: readonly Trial[], halving: Halving): Promotion | null {
  const best = bestTrial(trials, halving.metric);
  if (best === null || !mayGoOn(trials[best.trial]!, best.rung)) return null;
  const next = { trial: best.trial, rung: best.rung + 1 };
  return next.rung < halving.rungs && halving.fits(next.trial, next.rung) ? next : null;
}

/** The trials that have a score at a rung, the best first; those that failed last. */
export function rankedAt(
  trials: readonly Trial[],
  rung: number,
  metric: BestMetric,
): readonly number[] {
  const scoreOf = (trial: number) => trials[trial]!.scores[rung]!;
  return [...trials.keys()]
    .filter((trial) => trials[trial]!.scores.length > rung)
    .sort((a, b) => compare(scoreOf(a), scoreOf(b), metric) || a - b);
}

function compare(a: number, b: number, metric: BestMetric): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  if (isBetter(a, b, metric)) return -1;
  return isBetter(b, a, metric) ? 1 : 0;
}

/** The best of the highest rung that any has reached; null before a first score. */
export function bestTrial(
  trials: readonly Trial[],
  metric: BestMetric,
): (Promotion & { readonly score: number }) | null {
  const highest = Math.max(0, ...trials.map(({ scores }) => scores.length));
  for (let rung = highest - 1; rung >= 0; rung--) {
    const trial = rankedAt(trials, rung, metric)[0]!;
    const score = trials[trial]!.scores[rung]!;
    if (!Number.isNaN(score)) return { trial, rung, score };
  }
  return null;
}
