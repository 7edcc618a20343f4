import { describe, expect, it } from 'vitest';
import { extractLayer, type WeightDifference } from '../../../src/lora/extract';
import type { LoraFactors } from '../../../src/lora/adapter';

/** A difference [size, size + 2] with these singular values on its diagonal. */
function diagonal(values: readonly number[], transposed = false): WeightDifference {
  const [out_features, in_features] = [values.length, values.length + 2];
  const data = new Float32Array(out_features * in_features);
  for (const [i, value] of values.entries())
    data[transposed ? i * out_features + i : i * in_features + i] = value;
  return { path: 'a', in_features, out_features, transposed, data };
}
function largestGap(
  { data, transposed }: WeightDifference,
  { A, B, r, in_features, out_features }: LoraFactors,
) {
  let gap = 0;
  for (let o = 0; o < out_features; o++) {
    for (let i = 0; i < in_features; i++) {
      let sum = 0;
      for (let k = 0; k < r; k++) sum += B[o * r + k]! * A[k * in_features + i]!;
      gap = Math.max(
        gap,
        Math.abs(sum - data[transposed ? i * out_features + o : o * in_features + i]!),
      );
    }
  }
  return gap;
}
const equal = (count: number) => new Array<number>(count).fill(1);

describe('extracting an update', () => {
  it.each([false, true])(
    'reproduces the difference at full rank, stored transposed: %s',
    (stored) => {
      const difference = diagonal([5, 4, 3], stored);
      const found = extractLayer(difference, { kind: 'rank', rank: 3 })!;
      expect(found.factors).toMatchObject({
        path: 'a',
        kind: 'linear',
        r: 3,
        in_features: 5,
        out_features: 3,
        scaling: 1,
        magnitude: null,
      });
      expect(found.factors.A).toHaveLength(15);
      expect(largestGap(difference, found.factors)).toBeLessThan(1e-6);
      expect(found.norm).toBeCloseTo(Math.sqrt(50), 6);
      expect(found.lost).toBeCloseTo(0, 3);
    },
  );

  it('drops the smallest singular values at a lower rank', () => {
    const difference = diagonal([5, 4, 3]);
    const found = extractLayer(difference, { kind: 'rank', rank: 2 })!;
    expect(found.factors.r).toBe(2);
    expect(found.lost).toBeCloseTo(3, 6);
    expect(largestGap(difference, found.factors)).toBeCloseTo(3, 6);
    expect(extractLayer(difference, { kind: 'rank', rank: 9 })!.factors.r).toBe(3);
  });

  it('takes the smallest rank that reaches an energy or an error', () => {
    const rank = (target: Parameters<typeof extractLayer>[1]) =>
      extractLayer(diagonal([5, 4, 3]), target)!.factors.r;
    expect(rank({ kind: 'energy', energy: 0.49 })).toBe(1);
    expect(rank({ kind: 'energy', energy: 0.51 })).toBe(2);
    expect(rank({ kind: 'energy', energy: 1 })).toBe(3);
    expect(rank({ kind: 'error', error: 0.43 })).toBe(2);
    expect(rank({ kind: 'error', error: 0.42 })).toBe(3);
  });

  it('computes more singular values if the first 16 do not suffice', () => {
    const rank = (count: number, target: Parameters<typeof extractLayer>[1]) =>
      extractLayer(diagonal(equal(count)), target)!.factors.r;
    expect(rank(40, { kind: 'energy', energy: 0.375 })).toBe(15);
    expect(rank(40, { kind: 'energy', energy: 0.4 })).toBe(16);
    expect(rank(40, { kind: 'energy', energy: 0.425 })).toBe(17);
    expect(rank(40, { kind: 'energy', energy: 0.95 })).toBe(38);
    expect(rank(40, { kind: 'error', error: 0.5 })).toBe(30);
    expect(rank(20, { kind: 'energy', energy: 1 })).toBe(20);
  });

  it('gives no update if the weights are equal', () => {
    expect(extractLayer(diagonal([0, 0]), { kind: 'rank', rank: 1 })).toBeNull();
  });
});
