import { expect, it } from 'vitest';
import { exponential } from '../../../src/models/exponential';

it('is exp(x) for x up to 0', () => {
  expect(exponential(0)).toBe(1);
  let gap = 0;
  for (let x = 0; x > -690; x -= 0.0137)
    gap = Math.max(gap, Math.abs(exponential(x) / Math.exp(x) - 1));
  expect(gap).toBeLessThan(1e-13);
  for (const x of [-700, -699.999]) expect(exponential(x)).toBeCloseTo(0, 300);
  for (const x of [-701, -1e300, -Infinity, NaN]) expect(exponential(x)).toBe(0);
});
