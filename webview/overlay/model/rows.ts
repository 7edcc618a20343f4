import { methodOf, type RunState } from '../../../src/shared/run';
import { placesOf } from '../../../src/shared/sweep/ranking';
import type { OverlayRun } from './runs';
import { compareValues, identityOf, valuesOf } from './sweep';

/** A run in numbers; NaN for what is not known. */
export interface OverlayRow {
  readonly dir: string;
  readonly name: string;
  readonly state: RunState;
  readonly r: number;
  /** Of the keys that the sweep varies. */
  readonly values: readonly unknown[];
  /** Among the finished runs, 1 for the lowest loss; NaN for others. */
  readonly place: number;
  readonly parameters: number;
  /** The lowest validation loss after a step. */
  readonly validation: number;
  /** Step of the lowest validation loss. */
  readonly at: number;
  /** Last training loss. */
  readonly loss: number;
  /** Seconds of training. */
  readonly time: number;
  /** Tokens per second over all steps. */
  readonly speed: number;
  /** Peak, in bytes. */
  readonly memory: number;
}

export function overlayRow(run: OverlayRun, keys: readonly string[] = []): OverlayRow {
  const { dir, name, state, record, history } = run;
  const evals = history.lines
    .filter((line) => line.kind === 'eval')
    // the loss at step 0 is the base's, whatever the rank
    .filter((line) => line.step > 0 && Number.isFinite(line.loss));
  const best = evals.reduce<(typeof evals)[number] | null>(
    (a, b) => (a === null || b.loss < a.loss ? b : a),
    null,
  );
  const time = history.column('elapsed').at(-1) ?? NaN;
  return {
    dir,
    name,
    state,
    r: record && methodOf(record.recipe) === 'lora' ? record.recipe.lora.r : NaN,
    values: valuesOf(record, keys),
    place: NaN,
    parameters: record?.trainable_parameters ?? NaN,
    validation: best?.loss ?? NaN,
    at: best?.step ?? NaN,
    loss: history.column('loss').at(-1) ?? NaN,
    time,
    speed: run.tokens.update(history) / time,
    memory: run.memory.update(history),
  };
}

/** The rows of runs, with their places; those of a sweep in the order of the varied values. */
export function overlayRows(
  runs: readonly OverlayRun[],
  keys: readonly string[] | null,
): readonly OverlayRow[] {
  const rows = runs.map((run) => overlayRow(run, keys ?? []));
  const places = placesOf(
    rows.map((row) => ({
      finished: isFinished(row),
      validation: row.validation,
      training: row.loss,
    })),
  );
  const placed = rows.map((row, i) => ({ ...row, place: places[i] ?? NaN }));
  return keys === null ? placed : placed.sort(byValues);
}

/** Compares by the varied values, the first key first. */
const byValues = (a: OverlayRow, b: OverlayRow): number =>
  a.values.reduce<number>((order, value, k) => order || compareValues(value, b.values[k]), 0);

/** Compares by rank; runs without one come last. */
export const byRank = (a: OverlayRow, b: OverlayRow): number =>
  (Number.isNaN(a.r) ? Infinity : a.r) - (Number.isNaN(b.r) ? Infinity : b.r) || 0;

/** A loss is good enough if it is within this share of the lowest. */
export const CLOSE_ENOUGH = 0.01;

export interface LowestRank {
  /** The lowest rank that is enough. */
  readonly enough: OverlayRow;
  /** The run with the lowest validation loss. */
  readonly best: OverlayRow;
}

/** Whether a run has got as far as its recipe says: only then can its loss be judged. */
export const isFinished = ({ state }: OverlayRow): boolean => state === 'completed';

/** How low the rank can go; null before runs of two ranks have finished with validation losses. */
export function lowestRank(rows: readonly OverlayRow[]): LowestRank | null {
  const measured = rows
    .filter(isFinished)
    .filter(({ r, validation }) => Number.isFinite(r) && Number.isFinite(validation))
    .sort(byRank);
  if (new Set(measured.map(({ r }) => r)).size < 2) return null;
  const best = measured.reduce((a, b) => (b.validation < a.validation ? b : a));
  return { best, enough: measured.find(({ validation }) => validation <= limitOf(best))! };
}

/** The finished runs of a sweep by their validation losses. */
export interface BestRuns {
  readonly best: OverlayRow;
  /** The others that are close enough to the best, the lowest loss first. */
  readonly near: readonly OverlayRow[];
}

/** Which values do best; null before runs of two combinations have finished with losses. */
export function bestRuns(rows: readonly OverlayRow[]): BestRuns | null {
  const measured = rows
    .filter((row) => isFinished(row) && Number.isFinite(row.validation))
    .sort((a, b) => a.validation - b.validation);
  const [best, ...others] = measured;
  if (!best || new Set(measured.map(({ values }) => identityOf(values))).size < 2) return null;
  return { best, near: others.filter(({ validation }) => validation <= limitOf(best)) };
}

/** The highest validation loss that is good enough. */
export const limitOf = ({ validation }: OverlayRow): number => validation * (1 + CLOSE_ENOUGH);
