import type { Values } from '../shared/pages/inspect/protocol';

const BINS = 120;
/** How many deviations from the mean an extreme value is. */
const EXTREME = 6;

/** Mean, deviation, norm and histogram of the finite values; the others are only counted. */
export function valuesOf(numbers: Float32Array): Values {
  let [min, max, sum, squares, zeros, count] = [Infinity, -Infinity, 0, 0, 0, 0];
  for (const value of numbers) {
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    if (value === 0) zeros++;
    sum += value;
    squares += value * value;
    count++;
  }
  if (count === 0)
    return {
      min: 0,
      max: 0,
      mean: 0,
      deviation: 0,
      norm: 0,
      zeros,
      extremes: 0,
      notNumbers: numbers.length,
      count: numbers.length,
      histogram: [],
    };
  const mean = sum / count;
  const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
  return {
    min,
    max,
    mean,
    deviation,
    norm: Math.sqrt(squares),
    zeros,
    extremes: extremesOf(numbers, mean, EXTREME * deviation),
    notNumbers: numbers.length - count,
    count: numbers.length,
    histogram: histogramOf(numbers, min, max),
  };
}

/** How many finite values are farther than `distance` from the mean. */
function extremesOf(numbers: Float32Array, mean: number, distance: number): number {
  let extremes = 0;
  for (const value of numbers)
    if (Number.isFinite(value) && Math.abs(value - mean) > distance) extremes++;
  return extremes;
}

function histogramOf(numbers: Float32Array, min: number, max: number): number[] {
  const bins = new Array<number>(BINS).fill(0);
  if (max === min) return bins.map((_, i) => (i === 0 ? numbers.length : 0));
  const scale = BINS / (max - min);
  for (const value of numbers)
    if (Number.isFinite(value)) bins[Math.min(BINS - 1, Math.floor((value - min) * scale))]!++;
  return bins;
}
