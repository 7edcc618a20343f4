import type { DataRow } from '../../../src/shared/pages/data/protocol';
import type { RowRange } from '../../shared/scroll';

/** Rows that the host is asked for at once, and that it answers at most. */
export const ROWS_AT_ONCE = 50;
/** Rows before and after what is visible that are asked for, too. */
const AHEAD = 15;
/** Rows that are kept; those that are farthest away go first. */
const MOST_KEPT = 1_000;

/** Rows of a view by their places in it. */
export type KnownRows = ReadonlyMap<number, DataRow>;

/** The rows that must be asked for to show some; null: all are known. */
export function missingRows(
  known: KnownRows,
  { from, count }: RowRange,
  total: number,
): RowRange | null {
  const start = Math.max(0, from - AHEAD);
  const end = Math.min(total, from + count + AHEAD);
  const visible = firstMissing(known, Math.max(0, from), Math.min(total, from + count));
  const first = visible ?? firstMissing(known, start, end);
  if (first === null) return null;
  // rows above come with those before them
  const at = first < from ? Math.max(0, from - ROWS_AT_ONCE) : first;
  return { from: at, count: Math.min(ROWS_AT_ONCE, total - at) };
}

function firstMissing(known: KnownRows, start: number, end: number): number | null {
  for (let place = start; place < end; place++) if (!known.has(place)) return place;
  return null;
}

/** The known rows with more of them, without those that are far from these. */
export function withRows(known: KnownRows, from: number, rows: readonly DataRow[]): KnownRows {
  const all = new Map(known);
  rows.forEach((row, i) => all.set(from + i, row));
  if (all.size <= MOST_KEPT) return all;
  const near = [...all].sort(([a], [b]) => Math.abs(a - from) - Math.abs(b - from));
  return new Map(near.slice(0, MOST_KEPT / 2));
}
