import { describe, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../../src/engine/model/backend';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';
import { mostFrequent } from '../../../src/lora/combine';
import { compareAdapters, measureUpdate } from '../../../src/lora/compare';
import { initialFactors } from '../../../src/lora/init';
import { estimateLoaded, estimateMemory, type ModelSize } from '../../../src/lora/memory';
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

describe('the measures of an update', () => {
  it('count the directions that hold 90 % and 99 % of the energy, no more and no less', () => {
    expect(factsOf(90, 8, 1.5, 0.5)).toMatchObject({ rank_90: 1, rank_99: 3 });
    expect(factsOf(89.5, 5, 4.5, 1)).toMatchObject({ rank_90: 2, rank_99: 3 });
    expect(factsOf(50, 39.9, 9, 1.1)).toMatchObject({ rank_90: 3, rank_99: 4 });
  });

  it('take the effective rank from the entropy of the singular values', () => {
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

  it('give the norm as the root of the squares', () => {
    expect(factsOf(9, 16).norm).toBeCloseTo(5, 12);
  });
});

describe('two adapters', () => {
  const changedBy = (share: number) => {
    const adapter = adapterOf(diagonal(3, 1));
    const changed = adapterOf({ ...diagonal(3, 1), scaling: 1 + share });
    return compareAdapters(adapter, changed);
  };

  it('are equal up to the rounding of f32, a millionth', () => {
    expect(changedBy(5e-7).equal).toBe(true);
    expect(changedBy(3e-6).equal).toBe(false);
  });

  it('have the cosine, difference and subspaces of their updates', () => {
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

  it('are sorted by the numbers in their paths, and unshared layers count in full', () => {
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

describe('a rank for a target', () => {
  const squares = Float64Array.of(9, 1);

  it('is the smallest that keeps the energy, or stays below the error', () => {
    expect(rankForTarget(squares, 10, { kind: 'energy', energy: 0.9 })).toBe(1);
    expect(rankForTarget(squares, 10, { kind: 'energy', energy: 0.91 })).toBe(2);
    expect(rankForTarget(squares, 10, { kind: 'error', error: 0.32 })).toBe(1);
    expect(rankForTarget(squares, 10, { kind: 'error', error: 0.31 })).toBe(2);
    expect(rankForTarget(squares, 10, { kind: 'rank', rank: 7 })).toBe(7);
    expect(rankHolding(squares, 11)).toBe(2);
  });

  it('resizes each module, at least to 1, and reports what is lost', () => {
    const resized = resizeFactors(adapterOf(diagonal(3, 1)), { kind: 'rank', rank: 1 });
    expect(resized.error).toBeCloseTo(Math.sqrt(0.1), 7);
    expect(resized.modules).toMatchObject([{ path: 'a', before: 2, after: 1 }]);
    expect(
      resizeFactors(adapterOf(diagonal(3, 1)), { kind: 'rank', rank: 0 }).modules,
    ).toMatchObject([{ after: 1 }]);
    expect(resizeFactors(adapterOf(diagonal(0, 0)), { kind: 'energy', energy: 0.9 }).error).toBe(0);
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

describe('memory of a model', () => {
  const size: ModelSize = {
    parameters: 1000,
    hidden_size: 8,
    inner_size: 16,
    gated: false,
    num_layers: 2,
    q_size: 8,
    kv_size: 4,
    num_heads: 2,
    causal: true,
    outputs: 10,
  };
  const linear = { path: 'q', kind: 'linear', in_features: 8, out_features: 8, is_output: false };

  it('for inference is 1.2 times its weights, and the process', () => {
    expect(estimateLoaded({ parameters: 1e6 })).toBeCloseTo(1.2 * 4e6 + 360e6, 3);
  });

  it('in a step is that of weights, adapter, gradients, moments and activations', () => {
    const adapted = { modules: [{ ...linear, kind: 'linear' } as const], ranks: 2 };
    const estimate = estimateMemory(size, adapted, { rows: 1, length: 4 });
    // 32 numbers are trained; per token 2·8 + 2 + 1 and 2·8 + 2·4 + 16 values in each of 2 layers,
    // and 2·4·4 probabilities
    expect(estimate).toMatchObject({
      weights: 4000,
      adapter: 256,
      gradients: 128,
      optimizer: 256,
      activations: 2 * (4 * 4 * (19 + 40) + 4 * 32),
    });
    const recomputed = { base_dtype: 'float32', recomputed_layers: 5 } as const;
    expect(estimateMemory(size, adapted, { rows: 1, length: 4 }, recomputed).activations).toBe(
      4 * 4 * (19 + 40) + 4 * 32 + 4 * 4 * 8, // never the last layer
    );
  });
});

it('the most frequent value is the first of several that are equally frequent', () => {
  expect(mostFrequent([2, 1, 1, 2])).toBe(2);
  expect(mostFrequent([2, 1, 1])).toBe(1);
});

it('modules_to_save names a module by the end of its path, or of the path to one that contains it', () => {
  expect(isModuleToSave('pre_classifier', ['classifier'])).toBe(true);
  expect(isModuleToSave('score.dense', ['score'])).toBe(true);
  expect(isModuleToSave('classifier_out', ['classifier'])).toBe(false);
  expect(isModuleToSave('score', null)).toBe(false);
});
