import { describe, expect, it } from 'vitest';
import { valuesOf } from '../../../src/inspect/statistics';

describe('the statistics of a tensor', () => {
  it('include moments, zeros and a histogram', () => {
    const { histogram, ...facts } = valuesOf(Float32Array.of(-1, 0, 0, 3));
    expect(facts).toEqual({
      min: -1,
      max: 3,
      mean: 0.5,
      deviation: 1.5,
      norm: Math.sqrt(10),
      zeros: 2,
      extremes: 0,
      notNumbers: 0,
      count: 4,
    });
    expect(histogram).toHaveLength(120);
    expect([histogram[0], histogram[30], histogram[119]]).toEqual([1, 2, 1]);
  });

  it('count the values more than six deviations from the mean', () => {
    const values = Float32Array.from({ length: 1_000 }, (_, i) => (i === 7 ? 50 : i % 2));
    expect(valuesOf(values).extremes).toBe(1);
  });

  it('exclude NaN and infinity, and count them', () => {
    expect(valuesOf(Float32Array.of(NaN, Infinity, 2))).toMatchObject({
      min: 2,
      max: 2,
      mean: 2,
      notNumbers: 2,
      count: 3,
    });
    expect(valuesOf(Float32Array.of(NaN))).toMatchObject({ notNumbers: 1, histogram: [] });
  });
});
