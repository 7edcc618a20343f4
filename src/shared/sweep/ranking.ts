/** The losses of a run by which it is ranked; NaN or null where there is none. */
export interface RankedLosses {
  /** Whether the run has got as far as its recipe says: only then can its loss be judged. */
  readonly finished: boolean;
  readonly validation: number | null;
  readonly training: number | null;
}

/**
 * The place of each run by its best validation loss, 1 for the lowest; equal losses share a place.
 * Null for runs that have not finished. Without any validation loss the last training loss counts.
 */
export function placesOf(runs: readonly RankedLosses[]): readonly (number | null)[] {
  const finished = runs.filter((run) => run.finished);
  const isValidated = finished.some(({ validation }) => isNumber(validation));
  const lossOf = ({ validation, training }: RankedLosses) => (isValidated ? validation : training);
  const losses = finished.map(lossOf).filter(isNumber);
  return runs.map((run) => {
    const loss = lossOf(run);
    if (!run.finished || !isNumber(loss)) return null;
    return 1 + losses.filter((other) => other < loss).length;
  });
}

const isNumber = (loss: number | null): loss is number => loss !== null && Number.isFinite(loss);
