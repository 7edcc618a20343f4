import {
  bestMetricOf,
  isBetter,
  isGreaterBetter,
  metricOf,
  type BestMetric,
} from '../../../src/shared/bestMetric';
import { methodOf, type RunState } from '../../../src/shared/run';
import { placesOf } from '../../../src/shared/sweep/ranking';
import { rungSteps } from '../../../src/shared/tune/plan';
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
  /** Among the finished runs, 1 for the best; NaN for others. */
  readonly place: number;
  /** The rungs of a tune that it has reached, from 1; NaN before the first. */
  readonly rung: number;
  readonly parameters: number;
  /** What the runs of the page are compared by. */
  readonly metric: BestMetric;
  /** Its best value after a step, and that step. */
  readonly best: number;
  readonly at: number;
  /** The lowest validation loss after a step. */
  readonly validation: number;
  /** Last training loss. */
  readonly loss: number;
  /** Seconds of training. */
  readonly time: number;
  /** Tokens per second over all steps. */
  readonly speed: number;
  /** Peak, in bytes. */
  readonly memory: number;
}

/** What all runs were to be chosen by; the validation loss if that differs. */
function sharedMetric(runs: readonly OverlayRun[]): BestMetric {
  const [first, ...others] = runs.filter(({ record }) => record !== null);
  const metric = bestMetricOf(first?.record ?? null);
  return others.every(({ record }) => bestMetricOf(record) === metric) ? metric : 'loss';
}

/** The best value of a metric after a step, and that step; NaN where there is none. */
function bestIn({ history }: OverlayRun, metric: BestMetric) {
  const measured = history.lines
    .filter((line) => line.kind === 'eval')
    // the evaluation at step 0 is that of the base, whatever the rank
    .filter((line) => line.step > 0)
    .map((line) => ({ step: line.step, value: metricOf(line, metric) }))
    .filter(({ value }) => Number.isFinite(value));
  return measured.reduce((a, b) => (isBetter(b.value, a.value, metric) ? b : a), {
    step: NaN,
    value: isGreaterBetter(metric) ? -Infinity : Infinity,
  });
}

export function overlayRow(
  run: OverlayRun,
  keys: readonly string[] = [],
  metric: BestMetric = 'loss',
): OverlayRow {
  const { dir, name, state, record, history } = run;
  const best = bestIn(run, metric);
  const time = history.column('elapsed').at(-1) ?? NaN;
  return {
    dir,
    name,
    state,
    r: record && methodOf(record.recipe) === 'lora' ? record.recipe.lora.r : NaN,
    values: valuesOf(record, keys),
    place: NaN,
    rung: rungOf(run),
    parameters: record?.trainable_parameters ?? NaN,
    metric,
    best: finiteOr(best.value),
    at: best.step,
    validation: finiteOr(bestIn(run, 'loss').value),
    loss: history.column('loss').at(-1) ?? NaN,
    time,
    speed: run.tokens.update(history) / time,
    memory: run.memory.update(history),
  };
}

function rungOf({ record, history }: OverlayRun): number {
  const total = record?.total_steps ?? null;
  const last = history.lines.findLast((line) => line.kind === 'eval')?.step ?? 0;
  const reached = total === null ? 0 : rungSteps(total).filter((steps) => steps <= last).length;
  return reached === 0 ? NaN : reached;
}

/** The best of a tune so far: that of the highest rung; null before a first one. */
export function bestOfTune(rows: readonly OverlayRow[]): OverlayRow | null {
  const known = rows.filter(({ rung, best }) => Number.isFinite(rung) && Number.isFinite(best));
  return known.reduce<OverlayRow | null>((a, b) => {
    if (!a || b.rung > a.rung) return b;
    return b.rung === a.rung && isBetter(b.best, a.best, a.metric) ? b : a;
  }, null);
}

const finiteOr = (value: number): number => (Number.isFinite(value) ? value : NaN);

/** The rows of runs, with their places; those of a sweep in the order of the varied values. */
export function overlayRows(
  runs: readonly OverlayRun[],
  keys: readonly string[] | null,
): readonly OverlayRow[] {
  const metric = sharedMetric(runs);
  const rows = runs.map((run) => overlayRow(run, keys ?? [], metric));
  const places = placesOf(
    rows.map((row) => ({
      finished: isFinished(row),
      best: metric === 'loss' ? null : { name: metric, value: row.best },
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

/** A run is good enough if its loss or score is within this share of the best. */
export const CLOSE_ENOUGH = 0.01;

export interface LowestRank {
  /** The lowest rank that is enough. */
  readonly enough: OverlayRow;
  /** The best run. */
  readonly best: OverlayRow;
}

/** Whether a run has got as far as its recipe says: only then can it be judged. */
export const isFinished = ({ state }: OverlayRow): boolean => state === 'completed';

/** How low the rank can go; null before runs of two ranks have finished with evaluations. */
export function lowestRank(rows: readonly OverlayRow[]): LowestRank | null {
  const measured = rows
    .filter(isFinished)
    .filter(({ r, best }) => Number.isFinite(r) && Number.isFinite(best))
    .sort(byRank);
  if (new Set(measured.map(({ r }) => r)).size < 2) return null;
  const best = measured.reduce((a, b) => (isBetter(b.best, a.best, a.metric) ? b : a));
  return { best, enough: measured.find((row) => isNear(row, best))! };
}

/** The finished runs of a sweep by what they are compared by. */
export interface BestRuns {
  readonly best: OverlayRow;
  /** The others that are close enough to the best, the next best first. */
  readonly near: readonly OverlayRow[];
}

/** Which values do best; null before runs of two combinations have finished with evaluations. */
export function bestRuns(rows: readonly OverlayRow[]): BestRuns | null {
  const measured = rows
    .filter((row) => isFinished(row) && Number.isFinite(row.best))
    .sort((a, b) => (isGreaterBetter(a.metric) ? b.best - a.best : a.best - b.best));
  const [best, ...others] = measured;
  if (!best || new Set(measured.map(({ values }) => identityOf(values))).size < 2) return null;
  return { best, near: others.filter((row) => isNear(row, best)) };
}

const isNear = (row: OverlayRow, best: OverlayRow): boolean =>
  !isBetter(limitOf(best), row.best, best.metric);

/** The loss or score that is just good enough beside the best one. */
export const limitOf = ({ best, metric }: OverlayRow): number =>
  isGreaterBetter(metric) ? best - CLOSE_ENOUGH * Math.abs(best) : best * (1 + CLOSE_ENOUGH);
