import type { ShownTune } from '../../../src/shared/pages/overlay/protocol';
import { SWEEP_CHART, ticksBetween } from './sweepChart';

/** The chart of a range test, in the units of the drawing. */
export interface RangeChart {
  /** x,y x,y … */
  readonly path: string;
  /** Powers of ten. */
  readonly places: readonly { readonly rate: number; readonly x: number }[];
  readonly ticks: readonly { readonly value: number; readonly y: number }[];
  /** x of the suggested rate; null without one. */
  readonly suggestion: number | null;
}

/** Losses far above the first would flatten the rest of the curve. */
const SHOWN_ABOVE = 1.5;

/** Null where there are too few points for a curve. */
export function rangeChart({ points, suggestion }: ShownTune): RangeChart | null {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last || points.length < 3 || first.rate <= 0) return null;
  const { width, height, left, right, top, bottom } = SWEEP_CHART;
  const losses = points.map(({ loss }) => loss);
  const low = Math.min(...losses);
  const high = Math.min(Math.max(...losses), low + SHOWN_ABOVE * (first.loss - low || 1));
  const margin = (high - low || 1) * 0.1;
  const [from, to] = [low - margin, high + margin];
  const [start, end] = [Math.log10(first.rate), Math.log10(last.rate)];
  const xOf = (rate: number) =>
    left + ((width - left - right) * (Math.log10(rate) - start)) / (end - start || 1);
  const yOf = (loss: number) =>
    top + ((height - top - bottom) * (to - Math.min(loss, to))) / (to - from);
  const powers = Array.from(
    { length: Math.floor(end) - Math.ceil(start) + 1 },
    (_, i) => 10 ** (Math.ceil(start) + i),
  );
  return {
    path: points.map(({ rate, loss }) => `${xOf(rate)},${yOf(loss)}`).join(' '),
    places: powers.map((rate) => ({ rate: Number(rate.toPrecision(1)), x: xOf(rate) })),
    ticks: ticksBetween(from, to).map((value) => ({ value, y: yOf(value) })),
    suggestion: suggestion === null ? null : xOf(suggestion),
  };
}
