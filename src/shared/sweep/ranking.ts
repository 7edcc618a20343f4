import { isBetter, isBestMetric, type BestMetric } from '../bestMetric';
import type { MetricValue } from '../run';

/** The results of a run by which it is ranked; NaN or null where there is none. */
export interface JudgedRun {
  /** Whether the run has got as far as its recipe says: only then can it be judged. */
  readonly finished: boolean;
  /** The score that its best weights were chosen by; null or missing: the loss. */
  readonly best?: MetricValue | null;
  readonly validation: number | null;
  readonly training: number | null;
}

/** What runs are ranked by: a score that all finished ones were chosen by, else their losses. */
export function rankedBy(runs: readonly JudgedRun[]): BestMetric {
  const finished = runs.filter((run) => run.finished);
  const name = finished[0]?.best?.name;
  const isShared = finished.every(({ best }) => best?.name === name);
  return isShared && isBestMetric(name) ? name : 'loss';
}

/**
 * The place of each run by its best score or validation loss, 1 for the best; equal ones share a
 * place. Null for runs that have not finished. Without any validation loss the last training loss
 * counts.
 */
export function placesOf(runs: readonly JudgedRun[]): readonly (number | null)[] {
  const metric = rankedBy(runs);
  const finished = runs.filter((run) => run.finished);
  const isValidated = finished.some(({ validation }) => isNumber(validation));
  const lossOf = ({ validation, training }: JudgedRun) => (isValidated ? validation : training);
  const valueOf = (run: JudgedRun) => (metric === 'loss' ? lossOf(run) : (run.best?.value ?? null));
  const values = finished.map(valueOf).filter(isNumber);
  return runs.map((run) => {
    const value = valueOf(run);
    if (!run.finished || !isNumber(value)) return null;
    return 1 + values.filter((other) => isBetter(other, value, metric)).length;
  });
}

const isNumber = (value: number | null): value is number =>
  value !== null && Number.isFinite(value);
