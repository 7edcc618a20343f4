import { byRank, CLOSE_ENOUGH, isFinished, lowestRank, type OverlayRow } from './rows';

/** Of the drawing, in its own units: the plot lies between the margins. */
export const RANK_CHART = { width: 720, height: 230, left: 64, right: 24, top: 14, bottom: 34 };

/** A run in the chart of losses over ranks. */
export interface RankPoint {
  readonly row: OverlayRow;
  readonly x: number;
  readonly y: number;
  /** Whether its loss is final. */
  readonly finished: boolean;
}

export interface RankChart {
  readonly points: readonly RankPoint[];
  /** One for each rank. */
  readonly ranks: readonly { readonly r: number; readonly x: number }[];
  readonly ticks: readonly { readonly value: number; readonly y: number }[];
  /** Through the best finished run of each rank: x,y x,y … */
  readonly line: string;
  /** y of the loss below which a rank is enough; null while there is no answer. */
  readonly limit: number | null;
}

/** The chart of the best validation losses over the ranks; null before there is a loss. */
export function rankChart(rows: readonly OverlayRow[]): RankChart | null {
  const measured = rows
    .filter(({ r, validation }) => Number.isFinite(r) && Number.isFinite(validation))
    .sort(byRank);
  if (measured.length === 0) return null;
  const found = lowestRank(rows);
  const limit = found === null ? null : found.best.validation * (1 + CLOSE_ENOUGH);
  const losses = [
    ...measured.map(({ validation }) => validation),
    ...(limit === null ? [] : [limit]),
  ];
  const yOf = scale(Math.min(...losses), Math.max(...losses));
  const ranks = [...new Set(measured.map(({ r }) => r))].map((r, i, all) => ({
    r,
    x: placeOf(i, all.length),
  }));
  const xOf = (rank: number): number => ranks.find(({ r }) => r === rank)?.x ?? 0;
  const points = measured.map((row) => ({
    row,
    x: xOf(row.r),
    y: yOf.of(row.validation),
    finished: isFinished(row),
  }));
  return {
    points,
    ranks,
    ticks: yOf.ticks.map((value) => ({ value, y: yOf.of(value) })),
    line: lineThrough(points),
    limit: limit === null ? null : yOf.of(limit),
  };
}

/** Ranks are usually powers of two, so they stand at equal distances. */
function placeOf(index: number, count: number): number {
  const { left, right, width } = RANK_CHART;
  return left + ((width - left - right) * (index + 0.5)) / count;
}

function scale(low: number, high: number) {
  const { top, bottom, height } = RANK_CHART;
  const margin = (high - low || Math.abs(high) || 1) * 0.1;
  const [from, to] = [low - margin, high + margin];
  return {
    of: (value: number): number => top + ((height - top - bottom) * (to - value)) / (to - from),
    ticks: ticksBetween(from, to),
  };
}

/** Round numbers within a range, about four of them. */
export function ticksBetween(from: number, to: number): readonly number[] {
  const rough = (to - from) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const first = Math.ceil(from / step);
  const count = Math.floor(to / step) - first + 1;
  // whole multiples, so that no rounding errors add up
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function lineThrough(points: readonly RankPoint[]): string {
  const best = new Map<number, RankPoint>();
  for (const point of points.filter(({ finished }) => finished)) {
    const known = best.get(point.x);
    if (!known || point.y > known.y) best.set(point.x, point);
  }
  return [...best.values()].map(({ x, y }) => `${x},${y}`).join(' ');
}
