import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decimate, firstAtLeast, type SeriesPoints } from '../../../webview/shared/charts/decimate';

const column = (values: readonly number[]) => Float64Array.from(values);
const steps = (count: number) => Float64Array.from({ length: count }, (_, i) => i + 1);
const linear = (pixels: number) => ({ pixels, logarithmic: false });
const curve = (xs: Float64Array, ys: Float64Array): SeriesPoints => ({ xs, ys });

test('keeps every point of a short line', () => {
  expect(decimate(curve(steps(4), column([3, 1, 2, 5])), { from: 1, to: 4 }, linear(100))).toEqual([
    { x: 1, y: 3 },
    { x: 2, y: 1 },
    { x: 3, y: 2 },
    { x: 4, y: 5 },
  ]);
});

test('returns no line for no points', () => {
  expect(decimate(curve(column([]), column([])), { from: 0, to: 1 }, linear(100))).toEqual([]);
});

test('draws at most two points per pixel', () => {
  const ys = Float64Array.from({ length: 100_000 }, (_, i) => Math.sin(i));
  expect(
    decimate(curve(steps(100_000), ys), { from: 1, to: 100_000 }, linear(800)).length,
  ).toBeLessThanOrEqual(1600);
});

test('keeps the lowest and highest value of each pixel, in step order', () => {
  const ys = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), {
    minLength: 41,
    maxLength: 400,
  });
  fc.assert(
    fc.property(ys, fc.integer({ min: 1, max: 20 }), (values, pixels) => {
      const points = decimate(
        curve(steps(values.length), column(values)),
        { from: 1, to: values.length },
        linear(pixels),
      );
      expect(Math.min(...points.map((p) => p.y))).toBe(Math.min(...values));
      expect(Math.max(...points.map((p) => p.y))).toBe(Math.max(...values));
      points.forEach((p, i) => {
        expect(values[p.x - 1]).toBe(p.y);
        if (i > 0) expect(p.x).toBeGreaterThan(points[i - 1]!.x);
      });
    }),
  );
});

test('keeps a spike of a single step', () => {
  const ys = new Float64Array(50_000).fill(1);
  ys[31_234] = 99;
  expect(decimate(curve(steps(50_000), ys), { from: 1, to: 50_000 }, linear(500))).toContainEqual({
    x: 31_235,
    y: 99,
  });
});

test('includes one more point on either side of the range', () => {
  const points = decimate(curve(steps(100), steps(100)), { from: 40, to: 50 }, linear(100));
  expect(points[0]!.x).toBe(39);
  expect(points.at(-1)!.x).toBe(51);
});

test('breaks the line at a pixel that has only NaN', () => {
  const ys = new Float64Array(1000).fill(1);
  ys.fill(NaN, 500, 600);
  ys[100] = NaN;
  const broken = decimate(curve(steps(1000), ys), { from: 1, to: 1000 }, linear(100))
    .filter((p) => Number.isNaN(p.y))
    .map((p) => p.x);
  expect(broken.length).toBeGreaterThan(0);
  expect(broken.every((x) => x > 490 && x <= 600)).toBe(true);
});

test('reuses the previous points', () => {
  const out = decimate(curve(steps(3), column([1, 2, 3])), { from: 1, to: 3 }, linear(100));
  const [first] = out;
  expect(decimate(curve(steps(2), column([7, 8])), { from: 1, to: 2 }, linear(100), out)).toEqual([
    { x: 1, y: 7 },
    { x: 2, y: 8 },
  ]);
  expect(out[0]).toBe(first);
});

test('firstAtLeast finds the insertion index of a step', () => {
  const xs = column([2, 4, 6]);
  expect([1, 2, 3, 6, 7].map((x) => firstAtLeast(xs, x))).toEqual([0, 0, 1, 2, 3]);
});

test('gives each decade of a logarithmic axis the same number of points', () => {
  const ys = Float64Array.from({ length: 100_001 }, (_, i) => Math.sin(i));
  const xs = Float64Array.from({ length: 100_001 }, (_, i) => i);
  const points = decimate(
    curve(xs, ys),
    { from: 0, to: 100_000 },
    { pixels: 500, logarithmic: true },
  );
  const within = (low: number, high: number) =>
    points.filter(({ x }) => x > low && x <= high).length;
  expect(within(0, 10)).toBe(10);
  for (const high of [10_000, 100_000]) {
    expect(within(high / 10, high)).toBeGreaterThan(190);
    expect(within(high / 10, high)).toBeLessThan(210);
  }
});
