import { countOf } from '../../shared/values';
import { placesOf, rankedBy, type JudgedRun } from '../../shared/sweep/ranking';
import { shortNames } from '../../shared/sweep/recipeKeys';
import type { SweepRecord } from '../../shared/sweep/record';
import { valueText } from '../../shared/sweep/valueText';
import { formatClock } from '../describe';
import type { SweptRun } from './runSweep';

/** A run of a sweep with its place, 1 for the best; null for runs that have not finished. */
export interface RankedRun extends SweptRun {
  readonly place: number | null;
}

/** The runs by their places; those without one come last, in their order. */
export function rankRuns(runs: readonly SweptRun[]): readonly RankedRun[] {
  const places = placesOf(runs.map(judged));
  return runs
    .map((run, i) => ({ ...run, place: places[i] ?? null }))
    .sort((a, b) => (a.place ?? Infinity) - (b.place ?? Infinity) || 0);
}

const judged = ({ state, result }: SweptRun): JudgedRun => ({
  finished: state === 'completed',
  best: result?.best_metric ?? null,
  validation: result?.best_validation_loss ?? null,
  training: result?.last_loss ?? null,
});

/** A ranked run as `--json` prints it. */
export const runFacts = ({ run, dir, state, result, seconds, error, place }: RankedRun) => ({
  place,
  name: run.name,
  recipe: run.recipe,
  values: run.values,
  run_dir: dir,
  state,
  best_metric: result?.best_metric ?? null,
  best_validation_loss: result?.best_validation_loss ?? null,
  best_step: result?.best_step ?? null,
  last_loss: result?.last_loss ?? null,
  steps: result?.steps ?? 0,
  seconds,
  error,
});

const NONE = '–';

/** The runs as lines of a table: one for each run, the best first. */
export function describeRuns({ vary }: SweepRecord, runs: readonly RankedRun[]): string[] {
  const metric = rankedBy(runs.map(judged));
  const isByLoss = metric === 'loss';
  const head = [
    '',
    ...shortNames(vary.map(({ key }) => key)),
    ...(isByLoss ? ['best validation'] : [`best ${metric}`, 'validation']),
    'at step',
    'last loss',
    'steps',
    'time',
    'state',
  ];
  const rows = [head, ...runs.map((run) => rowOf(run, isByLoss))];
  const widths = head.map((_, k) => Math.max(...rows.map((row) => row[k]!.length)));
  const isLast = (k: number) => k === head.length - 1;
  return rows.map((row) =>
    row.map((cell, k) => (isLast(k) ? cell : cell.padStart(widths[k]!))).join('  '),
  );
}

const number = (value: number | null | undefined): string => value?.toFixed(4) ?? NONE;

const rowOf = (
  { run, state, result, seconds, place }: RankedRun,
  isByLoss: boolean,
): readonly string[] => [
  place === null ? NONE : String(place),
  ...run.values.map(valueText),
  ...(isByLoss ? [] : [number(result?.best_metric?.value)]),
  number(result?.best_validation_loss),
  result?.best_step?.toString() ?? NONE,
  number(result?.last_loss),
  String(result?.steps ?? 0),
  seconds === null ? NONE : formatClock(seconds),
  state,
];

/** "7 of 8 runs are complete." */
export function describeCompleted(runs: readonly SweptRun[]): string {
  const complete = runs.filter(({ state }) => state === 'completed').length;
  return complete === runs.length
    ? `All ${countOf(runs.length, 'run')} are complete.`
    : `${complete} of ${countOf(runs.length, 'run')} ${complete === 1 ? 'is' : 'are'} complete.`;
}
