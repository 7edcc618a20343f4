import { isBetter } from '../../../src/shared/bestMetric';
import { valueText } from '../../../src/shared/sweep/valueText';
import { bestRuns, isFinished, limitOf, type OverlayRow } from './rows';
import { compareValues, identityOf } from './sweep';

/** Of the drawing, in its own units: the plot lies between the margins. */
export const SWEEP_CHART = { width: 720, height: 230, left: 64, right: 24, top: 14, bottom: 34 };

/** A run in the chart of losses over a varied value. */
export interface SweepPoint {
  readonly row: OverlayRow;
  readonly x: number;
  readonly y: number;
  /** Whether its loss is final. */
  readonly finished: boolean;
}

/** The runs with one value of the second key; all runs where one key is varied. */
export interface SweepLine {
  readonly value: unknown;
  readonly points: readonly SweepPoint[];
  /** Through the best finished run at each place: x,y x,y … */
  readonly path: string;
}

export interface SweepChart {
  /** The keys of x and of the lines, by their index; null: one line. */
  readonly x: number;
  readonly line: number | null;
  readonly lines: readonly SweepLine[];
  /** One for each value, where they have room. */
  readonly places: readonly { readonly value: unknown; readonly x: number }[];
  readonly ticks: readonly { readonly value: number; readonly y: number }[];
  /** y of the loss or score from which a run is good enough; null while there is no answer. */
  readonly limit: number | null;
}

/** The chart of the best losses or scores over the values of a key; null without any. */
export function sweepChart(
  rows: readonly OverlayRow[],
  keys: readonly string[],
): SweepChart | null {
  const [x, line] = axesOf(keys);
  const measured = rows
    .filter(({ values, best }) => values[x] !== undefined && Number.isFinite(best))
    .sort((a, b) => compareValues(a.values[x], b.values[x]));
  if (measured.length === 0) return null;
  const found = bestRuns(rows);
  const limit = found && limitOf(found.best);
  const yOf = scale([...measured.map(({ best }) => best), ...(limit === null ? [] : [limit])]);
  const places = placesOn(keys[x]!, distinct(measured.map(({ values }) => values[x])));
  const xOf = new Map(places.map((place) => [identityOf(place.value), place.x]));
  const pointOf = (row: OverlayRow): SweepPoint => ({
    row,
    x: xOf.get(identityOf(row.values[x]))!,
    y: yOf.of(row.best),
    finished: isFinished(row),
  });
  const ofLine = (row: OverlayRow) => (line === null ? null : row.values[line]);
  const lines = distinct(measured.map(ofLine).sort(compareValues)).map((value) => {
    const points = measured
      .filter((row) => identityOf(ofLine(row)) === identityOf(value))
      .map(pointOf);
    return { value, points, path: pathThrough(points) };
  });
  return {
    x,
    line,
    lines,
    places: withRoom(places),
    ticks: yOf.ticks.map((value) => ({ value, y: yOf.of(value) })),
    limit: limit === null ? null : yOf.of(limit),
  };
}

/** The first key that is no seed is the axis, the next one tells the lines apart. */
function axesOf(keys: readonly string[]): readonly [x: number, line: number | null] {
  const order = keys.map((_, k) => k).sort((a, b) => seedsLast(keys[a]!) - seedsLast(keys[b]!));
  return [order[0]!, order[1] ?? null];
}

const seedsLast = (key: string): number => (key === SEED ? 1 : 0);

const SEED = 'training.seed';
/** Ranks are usually powers of two and seeds have no order: they stand at equal distances. */
const EVEN_KEYS = ['lora.r', SEED];
/** Values that differ by such a factor are compared by their ratios. */
const LOGARITHMIC_FROM = 8;

interface ValuePlace {
  readonly value: unknown;
  readonly x: number;
}

/** Where the sorted values of a key stand. */
function placesOn(key: string, values: readonly unknown[]): readonly ValuePlace[] {
  const { left, right, width } = SWEEP_CHART;
  const room = width - left - right;
  const numbers = values.filter((value) => typeof value === 'number');
  const [low, high] = [numbers[0]!, numbers.at(-1)!];
  if (EVEN_KEYS.includes(key) || numbers.length < values.length || low === high)
    return values.map((value, i) => ({ value, x: left + (room * (i + 0.5)) / values.length }));
  const isLogarithmic = low > 0 && (key.endsWith('rate') || high / low >= LOGARITHMIC_FROM);
  const of = isLogarithmic ? Math.log : (value: number) => value;
  const margin = room / (2 * values.length);
  return numbers.map((value) => ({
    value,
    x: left + margin + ((room - 2 * margin) * (of(value) - of(low))) / (of(high) - of(low)),
  }));
}

/** About the width of a character of the labels. */
const CHARACTER = 7;

/** Without the values whose labels would cover those before. */
function withRoom(places: readonly ValuePlace[]): readonly ValuePlace[] {
  let end = -Infinity;
  return places.filter(({ value, x }) => {
    const half = (CHARACTER * (valueText(value).length + 4)) / 2;
    if (x - half < end) return false;
    end = x + half;
    return true;
  });
}

const distinct = (values: readonly unknown[]): readonly unknown[] => [
  ...new Map(values.map((value) => [identityOf(value), value])).values(),
];

function scale(values: readonly number[]) {
  const { top, bottom, height } = SWEEP_CHART;
  const [low, high] = [Math.min(...values), Math.max(...values)];
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

function pathThrough(points: readonly SweepPoint[]): string {
  const best = new Map<number, SweepPoint>();
  for (const point of points.filter(({ finished }) => finished)) {
    const known = best.get(point.x);
    if (!known || isBetter(point.row.best, known.row.best, point.row.metric))
      best.set(point.x, point);
  }
  return [...best.values()].map(({ x, y }) => `${x},${y}`).join(' ');
}
