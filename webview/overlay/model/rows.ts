import { methodOf, type RunState } from '../../../src/shared/run';
import type { ShownRun } from './runs';

/** What the table says of a run; NaN where it is not known. */
export interface RunRow {
  readonly dir: string;
  readonly name: string;
  readonly state: RunState;
  readonly r: number;
  readonly parameters: number;
  /** The lowest validation loss. */
  readonly validation: number;
  /** Its step. */
  readonly at: number;
  readonly loss: number;
  /** Seconds of training. */
  readonly time: number;
  /** Tokens per second over all steps. */
  readonly speed: number;
  /** Bytes. */
  readonly memory: number;
}

export function rowOf({ dir, name, state, record, history }: ShownRun): RunRow {
  const evals = history.lines
    .filter((line) => line.kind === 'eval')
    .filter((line) => Number.isFinite(line.loss));
  const best = evals.reduce<(typeof evals)[number] | null>(
    (a, b) => (a === null || b.loss < a.loss ? b : a),
    null,
  );
  return {
    dir,
    name,
    state,
    r: record && methodOf(record.recipe) === 'lora' ? record.recipe.lora.r : NaN,
    parameters: record?.trainable_parameters ?? NaN,
    validation: best?.loss ?? NaN,
    at: best?.step ?? NaN,
    loss: history.column('loss').at(-1) ?? NaN,
    time: history.column('elapsed').at(-1) ?? NaN,
    speed: sumOf(history.column('tokens')) / (history.column('elapsed').at(-1) ?? NaN),
    memory: highestOf(history.column('memory')),
  };
}

const sumOf = (column: Float64Array): number =>
  column.reduce((sum, value) => (Number.isFinite(value) ? sum + value : sum), 0);

function highestOf(column: Float64Array): number {
  const highest = column.reduce((high, value) => (value > high ? value : high), -Infinity);
  return Number.isFinite(highest) ? highest : NaN;
}

/** By rank for a sweep. */
export const byRank = (a: RunRow, b: RunRow): number =>
  (Number.isNaN(a.r) ? Infinity : a.r) - (Number.isNaN(b.r) ? Infinity : b.r) || 0;

/** A rank whose best validation loss is within this share of the lowest is enough. */
export const CLOSE_ENOUGH = 0.01;

export interface LowestRank {
  /** The lowest rank that is close enough. */
  readonly enough: RunRow;
  /** The run with the lowest validation loss. */
  readonly best: RunRow;
}

/** How low the rank can go; null before two ranks have validation losses. */
export function lowestRank(rows: readonly RunRow[]): LowestRank | null {
  const measured = rows
    .filter(({ r, validation }) => Number.isFinite(r) && Number.isFinite(validation))
    .sort(byRank);
  if (new Set(measured.map(({ r }) => r)).size < 2) return null;
  const best = measured.reduce((a, b) => (b.validation < a.validation ? b : a));
  return {
    best,
    enough: measured.find(({ validation }) => validation <= best.validation * (1 + CLOSE_ENOUGH))!,
  };
}
