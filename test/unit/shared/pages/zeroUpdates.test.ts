import { expect, it } from 'vitest';
import { zeroUpdates } from '../../../../src/shared/pages/compare/zeroUpdates';

const totals = (norm_a: number, norm_b: number, trained: readonly unknown[] = []) => ({
  total: { norm_a, norm_b },
  trained,
});

it('names the adapters whose update is zero', () => {
  expect(zeroUpdates(totals(0, 2), ['A', 'B'])).toEqual(['A']);
  expect(zeroUpdates(totals(1, 0), ['A', 'B'])).toEqual(['B']);
  expect(zeroUpdates(totals(0, 0), ['A', 'B'])).toEqual(['A', 'B']);
  expect(zeroUpdates(totals(1, 2), ['A', 'B'])).toEqual([]);
});

it('names none where tensors are trained in full', () => {
  expect(zeroUpdates(totals(0, 0, ['lm_head.weight']), ['A', 'B'])).toEqual([]);
});
