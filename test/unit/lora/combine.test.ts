import { describe, expect, it } from 'vitest';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';
import {
  combineUpdates,
  truncateRank,
  withRankPatterns,
  type CombineOptions,
} from '../../../src/lora/combine';
import { PLAIN_LORA } from '../../../src/lora/newAdapter';

/** A layer of [out 2, in 2] with the given factors of rank A.length / 2. */
const layer = (A: number[], B: number[], change: Partial<LoraFactors> = {}): LoraFactors => ({
  path: 'a.b',
  kind: 'linear',
  r: A.length / 2,
  in_features: 2,
  out_features: 2,
  scaling: 1,
  magnitude: null,
  A: Float32Array.from(A),
  B: Float32Array.from(B),
  ...change,
});
const adapter = (...modules: LoraFactors[]): Adapter => ({
  config: { ...PLAIN_LORA, base_model_name_or_path: 'base', raw: {} },
  modules,
  trained: [],
});
const OPTIONS: CombineOptions = {
  type: 'cat',
  weights: [1, 1],
  rank: null,
  density: 0.5,
  majority_sign_method: 'total',
  peft: true,
};
const combine = (adapters: readonly Adapter[], change: Partial<CombineOptions> = {}) =>
  combineUpdates(adapters, { ...OPTIONS, ...change });
/** s·BA, rounded to 1e-5. */
const product = ({ A, B, r, scaling, in_features, out_features }: LoraFactors) =>
  Array.from({ length: out_features }, (_, o) =>
    Array.from({ length: in_features }, (__, i) => {
      let sum = 0;
      for (let k = 0; k < r; k++) sum += scaling * B[o * r + k]! * A[k * in_features + i]!;
      return Math.round(sum * 1e5) / 1e5 + 0;
    }),
  );

describe('combining with cat', () => {
  it('gives the exact weighted sum with the summed rank', () => {
    const {
      adapter: sum,
      error,
      errors,
    } = combine(
      [adapter(layer([1, 2], [1, 3], { scaling: 2 })), adapter(layer([0, 1, 1, 0], [1, 0, 0, 1]))],
      { weights: [0.5, -3] },
    );
    expect(sum.modules[0]!.r).toBe(3);
    expect(product(sum.modules[0]!)).toEqual([
      [1, 2 - 3],
      [3 - 3, 6],
    ]);
    expect(error).toBeCloseTo(0, 12);
    expect([...errors.keys()]).toEqual(['a.b']);
  });

  it('keeps layers of only one adapter, scaled by its weight', () => {
    const { adapter: sum } = combine(
      [adapter(layer([1, 2], [1, 3])), adapter(layer([1, 0], [0, 1], { path: 'c' }))],
      { weights: [1, 4] },
    );
    expect(sum.modules.map((m) => [m.path, product(m)])).toEqual([
      [
        'a.b',
        [
          [1, 2],
          [3, 6],
        ],
      ],
      [
        'c',
        [
          [0, 0],
          [4, 0],
        ],
      ],
    ]);
    expect(sum.config.target_modules).toEqual(['a.b', 'c']);
  });

  it('reports no relative error if the updates cancel', () => {
    const one = adapter(layer([1, 2], [1, 3]));
    const { error, errors } = combine([one, one], { weights: [1, -1] });
    expect(error).toBeNull();
    expect(errors.get('a.b')).toBe(0);
  });
});

describe('combining with svd', () => {
  const a = adapter(layer([1, 0], [3, 0]));
  const b = adapter(layer([0, 1], [0, 4]));

  it('gives the best approximation of the rank and reports its error', () => {
    const { adapter: sum, error, errors } = combine([a, b], { type: 'svd', rank: 1 });
    expect(sum.modules[0]!.r).toBe(1);
    expect(product(sum.modules[0]!)).toEqual([
      [0, 0],
      [0, 4],
    ]);
    expect(error).toBeCloseTo(3 / 5, 6);
    expect(errors.get('a.b')).toBeCloseTo(3 / 5, 6);
  });

  it('defaults to the largest rank of any layer', () => {
    const wide = adapter(layer([1, 0], [3, 0]), layer([1, 0, 0, 1], [3, 0, 0, 1], { path: 'c' }));
    const { adapter: sum } = combine([wide, b], { type: 'svd' });
    expect(sum.modules.map((m) => m.r)).toEqual([2, 2]);
    expect(combine([a, b], { type: 'svd' }).adapter.modules[0]!.r).toBe(1);
  });

  it('measures errors over all layers', () => {
    const more = (m: Adapter, path: string) => adapter(...m.modules, { ...m.modules[0]!, path });
    const { error, errors } = combine([more(a, 'c'), b], { type: 'svd', rank: 1 });
    expect(errors.get('c')).toBeCloseTo(0, 6);
    expect(error).toBeCloseTo(3 / Math.sqrt(25 + 9), 6);
  });
});

describe('combining with linear', () => {
  const a = adapter(layer([1, 0], [1, 0], { scaling: 4 }));
  const b = adapter(layer([0, 1], [0, 1]));

  it('adds A and B separately as PEFT does, with cross terms', () => {
    const { adapter: sum, error } = combine([a, b], { type: 'linear', weights: [1, 9] });
    expect([...sum.modules[0]!.A]).toEqual([2, 3]);
    expect([...sum.modules[0]!.B]).toEqual([2, 3]);
    expect(product(sum.modules[0]!)).toEqual([
      [4, 6],
      [6, 9],
    ]);
    expect(error).toBeCloseTo(Math.sqrt(72 / (16 + 81)), 6);
  });

  it('applies the sign of a negative weight to A only', () => {
    const { adapter: sum } = combine([a, b], { type: 'linear', weights: [-1, 0] });
    expect([...sum.modules[0]!.A]).toEqual([-2, 0]);
    expect([...sum.modules[0]!.B]).toEqual([2, 0]);
  });

  it('gives the exact sum if PEFT compatibility is off', () => {
    const { adapter: sum } = combine([a, b], { type: 'linear', peft: false });
    expect(product(sum.modules[0]!)).toEqual([
      [4, 0],
      [0, 1],
    ]);
  });
});

describe('combining with pruning', () => {
  it('keeps the largest values, the first on a tie, rounding the count down', () => {
    const pruned = (density: number) =>
      combine(
        [
          adapter(layer([1, -3, 3, 2, 0.5, 0], [1, 1, 1, 1, 1, 1])),
          adapter(layer([0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0])),
        ],
        { type: 'magnitude_prune', density },
      ).adapter.modules[0]!;
    expect([...pruned(0.5).A]).toEqual([0, -3, 3, 2, 0, 0]);
    expect([...pruned(0.34).A]).toEqual([0, -3, 3, 0, 0, 0]);
    expect([...pruned(0.33).A]).toEqual([0, -3, 0, 0, 0, 0]);
    expect([...pruned(1).A]).toEqual([1, -3, 3, 2, 0.5, 0]);
    expect([...pruned(0.5).B]).toEqual([1, 1, 1, 0, 0, 0]);
  });

  it('adds the remaining values with their weights', () => {
    const { adapter: sum } = combine(
      [adapter(layer([4, 1], [1, 2])), adapter(layer([3, 5], [2, 1]))],
      { type: 'magnitude_prune', weights: [4, 1] },
    );
    expect([...sum.modules[0]!.A]).toEqual([8, 5]);
    expect([...sum.modules[0]!.B]).toEqual([2, 4]);
  });
});

describe('combining with ties', () => {
  const combined = (method: 'total' | 'frequency', ...As: number[][]) =>
    combine(
      As.map((A) => adapter(layer(A, [1, 1]))),
      { type: 'ties', density: 1, majority_sign_method: method, weights: As.map(() => 1) },
    ).adapter.modules[0]!.A;

  it('averages the values with the elected sign', () => {
    expect([...combined('total', [3, -1], [1, -3], [-2, 2])]).toEqual([2, -2]);
  });

  it('elects the sign by total value or by frequency', () => {
    expect([...combined('total', [1, 1], [1, 1], [-5, 5])]).toEqual([-5, 7 / 3].map(Math.fround));
    expect([...combined('frequency', [1, 1], [1, 1], [-5, 5])]).toEqual(
      [1, 7 / 3].map(Math.fround),
    );
  });

  it('elects plus on a tie, and gives 0 if no value has the elected sign', () => {
    expect([...combined('total', [2, 0], [-2, 0])]).toEqual([2, 0]);
  });

  it('prunes before weighting', () => {
    const { adapter: sum } = combine(
      [adapter(layer([4, 1], [1, 2])), adapter(layer([2, 1], [2, 1]))],
      { type: 'ties', weights: [4, 16] },
    );
    expect([...sum.modules[0]!.A]).toEqual([(4 * 2 + 2 * 4) / 2, 0]);
    expect([...sum.modules[0]!.B]).toEqual([8, 4]);
  });
});

describe('combining without an effect', () => {
  const some = adapter(layer([1, 2], [3, 4]));
  const zero = adapter(layer([1, 2], [0, 0]));

  it('is named where the updates cancel or are zero', () => {
    const kinds = (adapters: Adapter[], weights: number[]) => {
      const { sum, error, errors } = combine(adapters, { weights, type: 'svd' });
      expect([...errors.values()].every(Number.isFinite)).toBe(true);
      return [sum, error];
    };
    expect(kinds([some, some], [1, -1])).toEqual(['cancelled', null]);
    expect(kinds([some, some], [0, 0])).toEqual(['zero', null]);
    expect(kinds([zero, zero], [1, 1])).toEqual(['zero', null]);
    expect(kinds([some, zero], [1, 1])[0]).toBe('some');
  });

  it('takes one adapter with a weight', () => {
    const { adapter: half, sum } = combine([some], { weights: [0.5] });
    expect(sum).toBe('some');
    expect(product(half.modules[0]!)).toEqual([
      [1.5, 3],
      [2, 4],
    ]);
  });
});

describe('combining rejects', () => {
  const one = adapter(layer([1, 0], [1, 0]));

  it('no adapter and a wrong number of weights', () => {
    expect(() => combine([], { weights: [] })).toThrow(/At least one/);
    expect(() => combine([one, one], { weights: [1, 2, 3] })).toThrow('need 2 weights, not 3');
  });

  it('modules of other shapes by every method, naming the module', () => {
    const wider = adapter(
      layer([1, 0, 2], [1, 0], { in_features: 3, r: 1 }),
      layer([1, 0], [1, 0], { path: 'a.c' }),
    );
    const taller = adapter(layer([1, 0], [1, 0, 3], { out_features: 3 }));
    for (const type of ['cat', 'linear', 'svd', 'ties', 'magnitude_prune'] as const) {
      for (const peft of [true, false]) {
        expect(() => combine([one, wider], { type, peft })).toThrow(
          'a.b is linear 2 x 2 in one adapter and linear 2 x 3 in another: they are of different bases and cannot be combined.',
        );
        expect(() => combine([taller, one], { type, peft })).toThrow(
          /^a\.b is linear 3 x 2 in one adapter and linear 2 x 2/,
        );
      }
    }
  });

  it('sums that float32 cannot hold, naming the module', () => {
    expect(() => combine([one, one], { weights: [1e39, 1] })).toThrow(
      'The combination of a.b has numbers that float32 cannot hold. Use smaller weights.',
    );
  });

  it('an adapter that ties its embedding beside one that does not', () => {
    const embedding = layer([1, 0], [1, 0], { path: 'embed', kind: 'embedding' });
    const tied = (...modules: LoraFactors[]): Adapter => {
      const own = adapter(...modules);
      return { ...own, config: { ...own.config, raw: { ensure_weight_tying: true } } };
    };
    expect(() => combine([adapter(embedding), tied(embedding)])).toThrow(/ensure_weight_tying/);
    expect(combine([tied(embedding), tied(embedding)]).adapter.config.raw).toEqual({
      ensure_weight_tying: true,
    });
    const both = tied(embedding, layer([1, 0], [1, 0], { path: 'lm_head' }));
    expect(combine([both, both]).adapter.config.raw).toEqual({ ensure_weight_tying: false });
  });

  it('DoRA adapters and fully trained tensors', () => {
    const dora = adapter(layer([1, 0], [1, 0], { magnitude: Float32Array.of(1, 1) }));
    expect(() => combine([one, dora])).toThrow(/DoRA/);
    const full = { ...one, trained: [{ name: 'b', shape: [1], data: Float32Array.of(1) }] };
    expect(() => combine([one, full])).toThrow(/modules_to_save/);
    expect(() => combine([one, one])).not.toThrow();
  });

  it('different ranks in linear combinations, naming the layer', () => {
    const wide = adapter(layer([1, 0, 0, 1], [1, 0, 0, 1]));
    for (const type of ['linear', 'ties', 'magnitude_prune'] as const)
      expect(() => combine([one, wide], { type })).toThrow(/^a\.b has a different rank/);
    expect(() => combine([one, wide], { type: 'svd' })).not.toThrow();
  });
});

it('a truncated update has scaling 1 and a rank of at most the smaller dimension', () => {
  const full = layer([1, 0, 0, 1, 1, 1], [1, 0, 2, 0, 1, 0], { scaling: 3 });
  const { r, scaling, A, B } = truncateRank(full, 9);
  expect([r, scaling, A.length, B.length]).toEqual([2, 1, 4, 4]);
  expect(product(truncateRank(full, 9))).toEqual(product(full));
});

describe('rank and alpha patterns', () => {
  const config = (...modules: LoraFactors[]) => withRankPatterns(adapter(), modules).config;
  const at = (path: string, r: number, scaling: number) =>
    layer(new Array<number>(2 * r).fill(1), new Array<number>(2 * r).fill(1), { path, scaling });

  it('list the layers that differ from the most frequent rank and alpha, with dots escaped', () => {
    expect(config(at('a.0.q', 2, 1.5), at('b', 2, 1.5), at('c.d', 4, 1.5))).toMatchObject({
      r: 2,
      lora_alpha: 3,
      rank_pattern: { 'c\\.d': 4 },
      alpha_pattern: { 'c\\.d': 6 },
      target_modules: ['a.0.q', 'b', 'c.d'],
    });
    expect(config(at('b', 4, 1.5), at('a.0.q', 2, 3), at('c', 2, 3))).toMatchObject({
      rank_pattern: { b: 4 },
      alpha_pattern: {},
    });
    expect(
      Object.keys(config(at('a', 1, 1), at('b', 1, 1), at('x.0.y.z', 2, 1)).rank_pattern),
    ).toEqual(['x\\.0\\.y\\.z']);
  });

  it('replace previous target and scaling settings', () => {
    const before = adapter();
    const chosen: Adapter = {
      ...before,
      config: {
        ...before.config,
        use_rslora: true,
        layers_to_transform: [1],
        layers_pattern: 'h',
        exclude_modules: ['x'],
      },
    };
    expect(withRankPatterns(chosen, [at('a', 2, 1)]).config).toMatchObject({
      use_rslora: false,
      layers_to_transform: null,
      layers_pattern: null,
      exclude_modules: null,
      base_model_name_or_path: 'base',
    });
  });

  it('do not round scalings', () => {
    expect(config(at('a', 49, 1 / 49)).lora_alpha).toBe(1);
    expect(config(at('a', 2, 0.55)).lora_alpha).toBe(1.1);
    expect(config(at('a', 2, 0.5 + 1e-9)).lora_alpha).toBeGreaterThan(1);
    expect(config(at('a', 2, -1.5)).lora_alpha).toBe(-3);
  });
});
