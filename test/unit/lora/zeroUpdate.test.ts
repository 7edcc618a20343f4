import { describe, expect, it } from 'vitest';
import type { LoraFactors } from '../../../src/lora/adapter';
import { describeZeroUpdate, isZeroUpdate } from '../../../src/lora/zeroUpdate';

/** Factors of rank 2 of a 2 x 3 update. */
const factors = (A: number[], B: number[], change: Partial<LoraFactors> = {}): LoraFactors => ({
  path: 'q_proj',
  kind: 'linear',
  r: 2,
  in_features: 3,
  out_features: 2,
  scaling: 2,
  A: Float32Array.from(A),
  B: Float32Array.from(B),
  magnitude: null,
  ...change,
});
const SOME = [1, 2, 3, 4, 5, 6];
const ONES = [1, 1, 1, 1];

describe('an update', () => {
  it.each([
    ['B is zero', factors(SOME, [0, 0, 0, 0])],
    ['A is zero', factors([0, 0, 0, 0, 0, 0], ONES)],
    ['the scale is zero', factors(SOME, ONES, { scaling: 0 })],
    ['each row of A meets a column of B that is zero', factors([0, 0, 0, 1, 2, 3], [1, 0, 1, 0])],
    ['the terms cancel', factors([1, 2, 3, 1, 2, 3], [1, -1, 2, -2])],
  ])('is zero where %s', (_, m) => {
    expect(isZeroUpdate(m)).toBe(true);
    expect(describeZeroUpdate({ modules: [m] })).toBe(
      'The update is zero: A, B or the scale is zero in every module.',
    );
  });

  it.each([
    ['one element differs from 0', factors([0, 0, 0, 0, 0, 1e-30], [0, 0, 0, 1])],
    ['most terms cancel', factors([1, 2, 3, 1, 2, 4], [1, -1, 2, -2])],
  ])('is not zero where %s', (_, m) => {
    expect(isZeroUpdate(m)).toBe(false);
    expect(describeZeroUpdate({ modules: [factors(SOME, [0, 0, 0, 0]), m] })).toBeNull();
  });

  it('of DoRA can be zero beside magnitudes that change the model', () => {
    const m = factors(SOME, [0, 0, 0, 0], { magnitude: Float32Array.of(1, 2) });
    expect(describeZeroUpdate({ modules: [m] })).toMatch(/zero in every module\. .*magnitudes/);
  });
});
