import { methodOf, type RunState } from '../../../src/shared/run';
import type { Formatter } from '../../shared/format';
import type { OverlayRun } from './runs';

/** A run in numbers; NaN for what is not known. */
export interface OverlayRow {
  readonly dir: string;
  readonly name: string;
  readonly state: RunState;
  readonly r: number;
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

export function overlayRow(run: OverlayRun): OverlayRow {
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
    parameters: record?.trainable_parameters ?? NaN,
    validation: best?.loss ?? NaN,
    at: best?.step ?? NaN,
    loss: history.column('loss').at(-1) ?? NaN,
    time,
    speed: run.tokens.update(history) / time,
    memory: run.memory.update(history),
  };
}

/** Rows of a sweep are in the order of their ranks. */
export function overlayRows(runs: readonly OverlayRun[], sweep: boolean): OverlayRow[] {
  const rows = runs.map(overlayRow);
  return sweep ? rows.sort(byRank) : rows;
}

/** Compares by rank; runs without one come last. */
export const byRank = (a: OverlayRow, b: OverlayRow): number =>
  (Number.isNaN(a.r) ? Infinity : a.r) - (Number.isNaN(b.r) ? Infinity : b.r) || 0;

export const OVERLAY_COLUMNS = [
  'run',
  'r',
  'parameters',
  'validation',
  'at',
  'loss',
  'time',
  'speed',
  'memory',
  'state',
] as const;

/** The cells of a row without its name. */
export const rowCells = (row: OverlayRow, format: Formatter, state: string): string[] => [
  format.count(row.r),
  format.count(row.parameters),
  format.value(row.validation),
  format.count(row.at),
  format.value(row.loss),
  format.duration(row.time),
  format.speed(row.speed),
  format.bytes(row.memory),
  state,
];

/** A rank is enough if its best validation loss is within this share of the lowest. */
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
  const limit = best.validation * (1 + CLOSE_ENOUGH);
  return { best, enough: measured.find(({ validation }) => validation <= limit)! };
}
