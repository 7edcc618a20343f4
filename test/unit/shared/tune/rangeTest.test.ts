import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../../src/shared/random';
import {
  isTooHigh,
  rangeTestOf,
  risingRates,
  smoothed,
} from '../../../../src/shared/tune/rangeTest';

describe('a range test', () => {
  it('raises the rate by the same factor with each step', () => {
    expect(risingRates(1e-4, 1, 5).map((rate) => Number(rate.toPrecision(6)))).toEqual([
      1e-4, 1e-3, 1e-2, 1e-1, 1,
    ]);
    expect(risingRates(1e-4, 1, 1)).toEqual([1e-4]);
  });

  it('smooths without the bias of the start', () => {
    expect(smoothed([2, 2, 2])).toEqual([
      expect.closeTo(2, 12),
      expect.closeTo(2, 12),
      expect.closeTo(2, 12),
    ]);
    // (0.9 * 0.1 * 1 + 0.1 * 3) / (1 - 0.81)
    expect(smoothed([1, 3])[1]).toBeCloseTo(0.39 / 0.19, 12);
    expect(smoothed([])).toEqual([]);
  });

  it('ends where the loss is far above its lowest, or no number', () => {
    expect(isTooHigh([])).toBe(false);
    expect(isTooHigh([2, 1, 2])).toBe(false);
    expect(isTooHigh([1, ...Array<number>(30).fill(5)])).toBe(true);
    expect(isTooHigh([1, NaN])).toBe(true);
    expect(isTooHigh([0.5, ...Array<number>(20).fill(-0.2)])).toBe(false);
    const risen = [0.5, ...Array<number>(20).fill(-0.2), ...Array<number>(30).fill(4)];
    expect(isTooHigh(risen)).toBe(true);
  });

  it('suggests a tenth of the rate with the lowest loss, or the steepest if that is lower', () => {
    const rates = risingRates(1e-6, 1, 61);
    const bowl = rates.map((rate) => ({ rate, loss: 1 + (Math.log10(rate) + 2) ** 2 / 10 }));
    const { suggestion, points } = rangeTestOf(bowl, false);
    const lowest = points.reduce((a, b) => (b.smoothed < a.smoothed ? b : a));
    expect(lowest.rate).toBeGreaterThan(1e-2);
    expect(suggestion).toBeLessThanOrEqual(lowest.rate / 10);
    expect(suggestion).toBeGreaterThan(1e-6);
  });

  it('is not misled by the noise of batches before anything is learned', () => {
    const random = createRandom(1, 'batches');
    const rates = risingRates(1e-6, 1, 100);
    const points = rates.map((rate) => ({
      rate,
      loss: 7 + 0.3 * (random() - 0.5) - 4 / (1 + (0.02 / rate) ** 2) + 40 * rate ** 2,
    }));
    points[0]!.loss += 1;
    const { suggestion } = rangeTestOf(points, false);
    expect(suggestion).toBeGreaterThan(1e-3);
    expect(suggestion).toBeLessThan(3e-2);
  });

  it('suggests nothing where the loss only rises, or too little is known', () => {
    const rates = risingRates(1e-6, 1, 20);
    const rising = rates.map((rate, i) => ({ rate, loss: 1 + i }));
    expect(rangeTestOf(rising, true)).toMatchObject({ suggestion: null, diverged: true });
    expect(rangeTestOf([], false)).toEqual({ points: [], suggestion: null, diverged: false });
    expect(rangeTestOf([{ rate: 1, loss: NaN }], true).suggestion).toBeNull();
  });
});
