import { describe, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../../src/engine/model/backend';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';
import { mostFrequent } from '../../../src/lora/combine';
import { compareAdapters, measureUpdate } from '../../../src/lora/compare';
import { initialFactors } from '../../../src/lora/init';
import { isModuleToSave } from '../../../src/lora/modulesToSave';
import { PLAIN_LORA } from '../../../src/lora/newAdapter';
import {
  rankForTarget,
  rankHolding,
  rankKeepingEnergy,
  resizeFactors,
} from '../../../src/lora/resize';

/** Facts of an update with these squared singular values. */
const factsOf = (...squares: number[]) =>
  measureUpdate({ r: squares.length, scaling: 2 }, { S: Float64Array.from(squares, Math.sqrt) });

/** An update with these singular values, one per axis. */
const diagonal = (...S: number[]): LoraFactors => ({
  path: 'a',
  kind: 'linear',
  r: S.length,
  in_features: S.length,
  out_features: S.length,
  scaling: 1,
  magnitude: null,
  A: Float32Array.from({ length: S.length ** 2 }, (_, i) => Number(i % (S.length + 1) === 0)),
  B: Float32Array.from({ length: S.length ** 2 }, (_, i) =>
    i % (S.length + 1) === 0 ? S[i / (S.length + 1)]! : 0,
  ),
});
const adapterOf = (...modules: LoraFactors[]): Adapter => ({ ...EMPTY_ADAPTER, modules });

describe('update measures', () => {
  it('count the directions that hold 90% and 99% of the energy, no more and no less', () => {
    expect(factsOf(90, 8, 1.5, 0.5)).toMatchObject({ rank_90: 1, rank_99: 3 });
    expect(factsOf(89.5, 5, 4.5, 1)).toMatchObject({ rank_90: 2, rank_99: 3 });
    expect(factsOf(50, 39.9, 9, 1.1)).toMatchObject({ rank_90: 3, rank_99: 4 });
  });

  it('compute the effective rank from the entropy of the singular values', () => {
    expect(factsOf(1, 1, 1, 1).effective_rank).toBeCloseTo(4, 12);
    expect(factsOf(9, 1).effective_rank).toBeCloseTo(1.7547653506, 9); // shares 3/4 and 1/4
    expect(factsOf(4, 0).effective_rank).toBeCloseTo(1, 12);
  });

  it('are zero for no update', () => {
    expect(factsOf(0, 0)).toEqual({
      r: 2,
      scaling: 2,
      norm: 0,
      singular_values: [0, 0],
      effective_rank: 0,
      rank_90: 0,
      rank_99: 0,
    });
  });

  it('compute the Frobenius norm', () => {
    expect(factsOf(9, 16).norm).toBeCloseTo(5, 12);
  });
});

describe('comparing two adapters', () => {
  const changedBy = (share: number) => {
    const adapter = adapterOf(diagonal(3, 1));
    const changed = adapterOf({ ...diagonal(3, 1), scaling: 1 + share });
    return compareAdapters(adapter, changed);
  };

  it('treats them as equal up to f32 rounding', () => {
    expect(changedBy(5e-7).equal).toBe(true);
    expect(changedBy(3e-6).equal).toBe(false);
  });

  it('measures cosine, difference and subspace overlap', () => {
    const { modules, total } = compareAdapters(
      adapterOf(diagonal(4, 2, 0)),
      adapterOf(diagonal(0, 3, 1)),
    );
    const [m] = modules;
    expect(m!.cosine).toBeCloseTo(6 / Math.sqrt(20 * 10), 12);
    expect(m!.norm_of_difference).toBeCloseTo(Math.sqrt(16 + 1 + 1), 12);
    expect(m!.left.phi[0]![0]).toBeCloseTo(0, 12);
    expect(m!.left.phi[1]![0]).toBeCloseTo(1, 12);
    expect(m!.left.phi[1]![1]).toBeCloseTo(0.5, 12);
    expect(m!.left.random).toBe(1);
    expect(total.norm_a).toBeCloseTo(Math.sqrt(20), 12);
    expect(total.norm_b).toBeCloseTo(Math.sqrt(10), 12);
    expect(compareAdapters(adapterOf(diagonal(0)), adapterOf(diagonal(1))).total.cosine).toBeNull();
  });

  it('sorts layers numerically and counts unshared layers in full', () => {
    const at = (path: string) => ({ ...diagonal(2), path });
    const { modules, only_a, total } = compareAdapters(
      adapterOf(at('layers.10'), at('layers.2'), at('x.3')),
      adapterOf(at('layers.2'), at('layers.10')),
    );
    expect(modules.map((m) => m.path)).toEqual(['layers.2', 'layers.10']);
    expect(only_a.map((m) => m.path)).toEqual(['x.3']);
    expect(total.norm_of_difference).toBeCloseTo(2, 12);
  });
});

describe('modules in only one adapter', () => {
  const at = (path: string, ...S: number[]) => ({ ...diagonal(...S), path });

  it('are listed in natural order with their norms, and count in the total', () => {
    const { modules, only_a, only_b, total } = compareAdapters(
      adapterOf(at('x.10', 1), at('both', 2), at('x.9', 2)),
      adapterOf(at('both', 1), at('y.10', 4), at('y.9', 8)),
    );
    expect(modules.map((m) => m.path)).toEqual(['both']);
    expect(only_a.map((m) => [m.path, m.facts.norm])).toEqual([
      ['x.9', 2],
      ['x.10', 1],
    ]);
    expect(only_b.map((m) => [m.path, m.facts.norm])).toEqual([
      ['y.9', 8],
      ['y.10', 4],
    ]);
    expect(total.norm_a).toBeCloseTo(3, 12);
    expect(total.norm_b).toBeCloseTo(9, 12);
    expect(total.norm_of_difference).toBeCloseTo(Math.sqrt(1 + 4 + 1 + 64 + 16), 12);
    expect(total.cosine).toBeCloseTo(2 / (3 * 9), 12);
  });

  it('are no difference if their update is zero', () => {
    const one = adapterOf(at('a', 1));
    expect(compareAdapters(one, adapterOf(at('a', 1), at('b', 0))).equal).toBe(true);
    expect(compareAdapters(adapterOf(at('a', 1), at('b', 0)), one).equal).toBe(true);
    expect(compareAdapters(one, adapterOf(at('a', 1), at('b', 1e-9))).equal).toBe(false);
  });

  it('include layers of the same path but different shape', () => {
    const wide = { ...at('a', 1), in_features: 2, A: Float32Array.of(1, 0) };
    const tall = { ...at('a', 1), out_features: 2, B: Float32Array.of(1, 0) };
    for (const other of [wide, tall]) {
      const { modules, only_a, only_b } = compareAdapters(adapterOf(at('a', 1)), adapterOf(other));
      expect([modules.length, only_a.length, only_b.length]).toEqual([0, 1, 1]);
    }
  });
});

describe('subspaces of two layers', () => {
  it('overlap by the mean squared cosine, with a random baseline that falls with dimension', () => {
    const wide = (first: number[], second: number[]): LoraFactors => ({
      ...diagonal(2, 1),
      in_features: 4,
      A: Float32Array.from([...first, ...second]),
    });
    const { modules } = compareAdapters(
      adapterOf(wide([1, 0, 0, 0], [0, 1, 0, 0])),
      adapterOf(wide([0.6, 0, 0.8, 0], [0, 0, 0, 1])),
    );
    const { left, right, cosine } = modules[0]!;
    [
      [0.36, 0.36],
      [0.36, 0.18],
    ].forEach((row, i) => row.forEach((phi, j) => expect(right.phi[i]![j]).toBeCloseTo(phi, 6)));
    expect(right.whole).toBeCloseTo(0.18, 6);
    expect(right.random).toBe(0.5);
    expect(left.whole).toBeCloseTo(1, 12);
    expect(left.random).toBe(1);
    expect(cosine).toBeCloseTo((4 * 0.6) / 5, 6);
  });

  it('have the random baseline of the larger rank', () => {
    const inFour = (r: number): LoraFactors => ({
      ...diagonal(1),
      r,
      in_features: 4,
      out_features: 4,
      A: Float32Array.from({ length: 4 * r }, (_, i) => Number(i % 5 === 0)),
      B: Float32Array.from({ length: 4 * r }, (_, i) => Number(i % (r + 1) === 0 && i < r * r)),
    });
    for (const ranks of [
      [1, 3],
      [3, 1],
    ] as const) {
      const [m] = compareAdapters(adapterOf(inFour(ranks[0])), adapterOf(inFour(ranks[1]))).modules;
      expect(m!.left.random).toBe(0.75);
    }
  });
});

describe('adapters with DoRA magnitudes or fully trained tensors', () => {
  const withMagnitude = (...magnitude: number[]) =>
    adapterOf({ ...diagonal(2, 1), magnitude: Float32Array.from(magnitude) });

  it('are equal only if their magnitudes agree', () => {
    expect(compareAdapters(withMagnitude(1, 2), withMagnitude(1, 2)).equal).toBe(true);
    expect(compareAdapters(withMagnitude(1, 2), withMagnitude(1, 2.001)).equal).toBe(false);
    expect(compareAdapters(withMagnitude(1, 2), withMagnitude(1, 1.999)).equal).toBe(false);
    expect(compareAdapters(withMagnitude(1, 2), adapterOf(diagonal(2, 1))).equal).toBe(false);
    expect(compareAdapters(adapterOf(diagonal(2, 1)), withMagnitude(1, 2)).equal).toBe(false);
  });

  it('are not equal if one has magnitudes of a module that the other does not adapt', () => {
    const zero = { ...diagonal(2, 1), path: 'other', B: new Float32Array(4) };
    const dora = adapterOf(diagonal(2, 1), { ...zero, magnitude: Float32Array.of(1, 2) });
    const without = adapterOf(diagonal(2, 1));
    expect(compareAdapters(adapterOf(diagonal(2, 1), zero), without).equal).toBe(true);
    for (const [a, b] of [
      [dora, without],
      [without, dora],
    ] as const)
      expect(compareAdapters(a, b)).toMatchObject({
        equal: false,
        magnitudes: [{ path: 'other', difference: null }],
      });
  });

  it('have a distance for each trained tensor, or null if shapes differ', () => {
    const trained = (tensors: Record<string, number[]>): Adapter => ({
      ...adapterOf(),
      trained: Object.entries(tensors).map(([name, values]) => ({
        name,
        shape: [values.length],
        data: Float32Array.from(values),
      })),
    });
    const a = trained({ same: [1, 2], near: [1, 2], size: [1], a: [1] });
    const b = trained({ same: [1, 2], near: [4, 6], size: [1, 1], b: [1] });
    expect(compareAdapters(a, b).trained).toEqual([
      { name: 'same', norm_of_difference: 0 },
      { name: 'near', norm_of_difference: 5 },
      { name: 'size', norm_of_difference: null },
      { name: 'a', norm_of_difference: null },
      { name: 'b', norm_of_difference: null },
    ]);
    expect(compareAdapters(a, a).equal).toBe(true);
    expect(compareAdapters(trained({ x: [1] }), trained({})).equal).toBe(false);
  });
});

it('compares settings by value, ignoring list order, missing keys and usage records', () => {
  const configured = (change: object, raw: object): Adapter => ({
    ...adapterOf(),
    config: { ...EMPTY_ADAPTER.config, ...change, raw: { ...raw } },
  });
  const a = configured(
    { r: 8, target_modules: ['q', 'v'], layers_pattern: null, lora_alpha: 16 },
    {
      z_new: 1,
      peft_version: '1',
      inference_mode: true,
      auto_mapping: 1,
      revision: 'x',
      a_null: null,
    },
  );
  const b = configured(
    { r: 16, target_modules: ['v', 'q'], layers_pattern: ['h'], lora_alpha: 16 },
    { b_list: [1], inference_mode: false, peft_version: '2' },
  );
  expect(compareAdapters(a, b).config).toEqual([
    { key: 'b_list', a: null, b: [1] },
    { key: 'layers_pattern', a: null, b: ['h'] },
    { key: 'r', a: 8, b: 16 },
    { key: 'z_new', a: 1, b: null },
  ]);
});

describe('choosing a rank', () => {
  const squares = Float64Array.of(9, 1);

  it('takes the smallest rank that reaches the energy or the error', () => {
    expect(rankForTarget(squares, 10, { kind: 'energy', energy: 0.9 })).toBe(1);
    expect(rankForTarget(squares, 10, { kind: 'energy', energy: 0.91 })).toBe(2);
    expect(rankForTarget(squares, 10, { kind: 'error', error: 0.32 })).toBe(1);
    expect(rankForTarget(squares, 10, { kind: 'error', error: 0.31 })).toBe(2);
    expect(rankForTarget(squares, 10, { kind: 'rank', rank: 7 })).toBe(7);
    expect(rankHolding(squares, 11)).toBe(2);
  });

  it('resizes each module to at least 1 and reports the loss', () => {
    const resized = resizeFactors(adapterOf(diagonal(3, 1)), { kind: 'rank', rank: 1 });
    expect(resized.error).toBeCloseTo(Math.sqrt(0.1), 7);
    expect(resized.modules).toMatchObject([{ path: 'a', before: 2, after: 1 }]);
    expect(
      resizeFactors(adapterOf(diagonal(3, 1)), { kind: 'rank', rank: 0 }).modules,
    ).toMatchObject([{ after: 1 }]);
    expect(
      resizeFactors(adapterOf(diagonal(0, 0)), { kind: 'energy', energy: 0.9 }).error,
    ).toBeNull();
    expect(rankKeepingEnergy(adapterOf(diagonal(3, 1), diagonal(3, 1)), 0.9)).toBe(1);
    expect(rankKeepingEnergy(adapterOf(diagonal(3, 1), diagonal(3, 1)), 0.95)).toBe(2);
    expect(rankKeepingEnergy(adapterOf(diagonal(0)), 0.9)).toBe(1);
  });
});

describe('initial factors', () => {
  const module = {
    path: 'm',
    kind: 'linear',
    in_features: 300,
    out_features: 200,
    is_output: false,
  } as const;
  const deviation = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);

  it('gaussian: A has the standard deviation 1/r, B is zero', () => {
    const { A, B } = initialFactors(module, { ...PLAIN_LORA, r: 4 }, 'gaussian', 1);
    expect(Math.abs(deviation(A) * 4 - 1)).toBeLessThan(0.08);
    expect(B.every((x) => x === 0)).toBe(true);
  });

  it('orthogonal: A and B are not zero, but BA is', () => {
    const { A, B, r } = initialFactors(module, { ...PLAIN_LORA, r: 4 }, 'orthogonal', 1);
    expect(deviation(A)).toBeGreaterThan(0.03);
    expect(deviation(B)).toBeGreaterThan(0.03);
    let largest = 0;
    for (let o = 0; o < 200; o += 7) {
      for (let i = 0; i < 300; i += 11) {
        let sum = 0;
        for (let k = 0; k < r; k++) sum += B[o * r + k]! * A[k * 300 + i]!;
        largest = Math.max(largest, Math.abs(sum));
      }
    }
    expect(largest).toBeLessThan(1e-7);
  });
});

it('initial factors follow rank and alpha patterns, and keep a convolution kernel', () => {
  const module = {
    path: 'h.0.conv',
    kind: 'conv2d',
    in_features: 12,
    out_features: 5,
    is_output: false,
    kernel: [2, 2],
  } as const;
  const settings = { ...PLAIN_LORA, rank_pattern: { conv: 3 }, alpha_pattern: { conv: 6 } };
  const { A, B, ...facts } = initialFactors(module, settings, 'default', 1);
  expect([A.length, B.length]).toEqual([36, 15]);
  expect(facts).toEqual({
    path: 'h.0.conv',
    kind: 'conv2d',
    r: 3,
    in_features: 12,
    out_features: 5,
    scaling: 2,
    magnitude: null,
    kernel: [2, 2],
  });
  expect(initialFactors({ ...module, path: 'x' }, settings, 'default', 1).r).toBe(8);
  const linear = {
    path: 'x',
    kind: 'linear',
    in_features: 2,
    out_features: 2,
    is_output: false,
  } as const;
  expect('kernel' in initialFactors(linear, settings, 'default', 1)).toBe(false);
});

it('the most frequent value is the first one on a tie', () => {
  expect(mostFrequent([2, 1, 1, 2])).toBe(2);
  expect(mostFrequent([2, 1, 1])).toBe(1);
});

it('modules_to_save matches path suffixes of a module or of its parent', () => {
  expect(isModuleToSave('pre_classifier', ['classifier'])).toBe(true);
  expect(isModuleToSave('score.dense', ['score'])).toBe(true);
  expect(isModuleToSave('classifier_out', ['classifier'])).toBe(false);
  expect(isModuleToSave('score', null)).toBe(false);
});
