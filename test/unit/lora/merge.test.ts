import { describe, expect, it } from 'vitest';
import type { LoraFactors } from '../../../src/lora/adapter';
import { layoutOf, mergeInto, Merger } from '../../../src/lora/merge';

/** dW = 2·[[1], [3]] [[1, 2, 0]] + 2·[[0], [1]] [[1, 0, 1]] of [out 2, in 3]. */
const factors: LoraFactors = {
  path: 'a',
  kind: 'linear',
  r: 2,
  in_features: 3,
  out_features: 2,
  scaling: 2,
  magnitude: null,
  A: Float32Array.of(1, 2, 0, 1, 0, 1),
  B: Float32Array.of(1, 0, 3, 1),
};
const BY_OUTPUT = [2, 4, 0, 8, 12, 2];
const BY_INPUT = [2, 8, 4, 12, 0, 2];

describe('the weight layout', () => {
  it('is by input for transposed weights and embeddings', () => {
    expect(layoutOf({ kind: 'linear' }, false)).toBe('by_output');
    expect(layoutOf({ kind: 'linear' }, true)).toBe('by_input');
    expect(layoutOf({ kind: 'conv2d' }, false)).toBe('by_output');
    expect(layoutOf({ kind: 'embedding' }, false)).toBe('by_input');
  });
});

describe('merging', () => {
  it('adds the update in the layout of the weight', () => {
    const weight = Float32Array.of(1, 1, 1, 1, 1, 1);
    mergeInto(weight, factors, false);
    expect([...weight]).toEqual(BY_OUTPUT.map((x) => x + 1));
    const transposed = Float32Array.of(1, 1, 1, 1, 1, 1);
    mergeInto(transposed, factors, true);
    expect([...transposed]).toEqual(BY_INPUT.map((x) => x + 1));
  });

  it('works on blocks of rows and counts updates', () => {
    const merger = new Merger([factors], 'by_output');
    expect([merger.columns, merger.needsMeasure]).toEqual([3, false]);
    const second = Float32Array.of(0, 0, 1);
    expect(merger.merge(second, 1)).toEqual({ square: 64 + 144 + 4, still: 0 });
    expect([...second]).toEqual([8, 12, 3]);
    const first = Float32Array.of(0, 0, 1);
    expect(merger.merge(first, 0)).toEqual({ square: 4 + 16, still: 1 });
    expect([...first]).toEqual([2, 4, 1]);
    const byInput = new Merger([factors], 'by_input');
    expect(byInput.columns).toBe(2);
    const rows = new Float32Array(4);
    expect(byInput.merge(rows, 1)).toEqual({ square: 16 + 144 + 4, still: 1 });
    expect([...rows]).toEqual(BY_INPUT.slice(2));
  });

  it('sums several adapters before it adds them', () => {
    const B = Float32Array.of(0, 1, 0, 1); // with scaling -1: -[1, 0, 1] in both rows
    const other = { ...factors, scaling: -1, B };
    const weight = new Float32Array(6);
    const merger = new Merger([factors, other], 'by_output');
    expect(merger.merge(weight, 0).still).toBe(0);
    expect([...weight]).toEqual([1, 4, -1, 7, 12, 1]);
    const byInput = new Float32Array(6);
    new Merger([factors, other], 'by_input').merge(byInput, 0);
    expect([...byInput]).toEqual([1, 7, 4, 12, -1, 1]);
  });

  it('scales each output to its DoRA magnitude', () => {
    const dora = { ...factors, magnitude: Float32Array.of(1, 26) };
    const W = [1, 0, 2, -5, -8, 10]; // W + dW = [3, 4, 2], [3, 4, 12]
    const lengths = [Math.sqrt(29), 13];
    const want = [3, 4, 2, 3, 4, 12].map(
      (x, i) => (x * (i < 3 ? 1 : 26)) / lengths[i < 3 ? 0 : 1]!,
    );
    const byOutput = Float32Array.from(W);
    mergeInto(byOutput, dora, false);
    byOutput.forEach((x, i) => expect(x).toBeCloseTo(want[i]!, 5));
    const byInput = Float32Array.from({ length: 6 }, (_, i) => W[(i % 2) * 3 + (i >> 1)]!);
    mergeInto(byInput, dora, true);
    byInput.forEach((x, i) => expect(x).toBeCloseTo(want[(i % 2) * 3 + (i >> 1)]!, 5));
  });

  it('computes DoRA norms over all row blocks for weights stored by input', () => {
    const dora = { ...factors, magnitude: Float32Array.of(1, 26) };
    const merger = new Merger([dora], 'by_input');
    expect(merger.needsMeasure).toBe(true);
    expect(new Merger([dora], 'by_output').needsMeasure).toBe(false);
    const rows = [Float32Array.of(1, -5), Float32Array.of(0, -8, 2, 10)];
    merger.measure(rows[0]!, 0);
    merger.measure(rows[1]!, 1);
    merger.merge(rows[1]!, 1);
    expect(rows[1]![0]).toBeCloseTo(4 / Math.sqrt(29), 5);
    expect(rows[1]![3]).toBeCloseTo((12 * 26) / 13, 5);
  });

  it('rejects DoRA combined with other adapters, and an empty list', () => {
    const dora = { ...factors, magnitude: Float32Array.of(1, 26) };
    expect(() => new Merger([factors, dora], 'by_output')).toThrow(RangeError);
    expect(() => new Merger([dora, factors], 'by_output')).toThrow(/only be merged alone/);
    expect(() => new Merger([], 'by_output')).toThrow(RangeError);
    expect(() => new Merger([dora], 'by_output')).not.toThrow();
  });
});
