import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPeftAdapter } from '../../../src/formats/peft/read';
import { compareAdapters } from '../../../src/lora/compare';
import { updateSvd, sumUpdates, updateNorm } from '../../../src/lora/updateSvd';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';
import { createRandom } from '../../../src/shared/random';
import { EMPTY_ADAPTER as NO_ADAPTER } from '../../../src/engine/model/backend';

const fixtures = path.resolve(import.meta.dirname, '../../fixtures');
const read = async (...at: string[]) => (await readPeftAdapter(path.join(fixtures, ...at))).adapter;

interface Diff {
  readonly norm_a?: number;
  readonly norm_b?: number;
  readonly singular_values_a: readonly number[];
  readonly singular_values_b: readonly number[];
  readonly cosine: number;
  readonly norm_of_difference: number;
  readonly subspace_right_dW: number;
  readonly subspace_left_dW: number;
}

const close = (have: number, want: number, scale = Math.max(1, Math.abs(want))) =>
  expect(Math.abs(have - want)).toBeLessThanOrEqual(1e-6 * scale);

describe.each([
  ['llama/pair', 'adapter_a', 'adapter_b', 'expected.json'],
  ['llama/pair-mixed-rank', 'adapter_a', 'adapter_b', 'expected.json'],
  ['real/smollm2', 'train/final', 'pair_b', 'pair.json'],
])('%s', (folder, a, b, file) => {
  it('matches full SVDs in f64', async () => {
    const { diff } = JSON.parse(readFileSync(path.join(fixtures, folder, file), 'utf8')) as {
      diff: Record<string, Diff>;
    };
    const { modules, only_a, only_b, equal } = compareAdapters(
      await read(folder, a),
      await read(folder, b),
    );
    expect(equal).toBe(false);
    const byPath = new Map(modules.map((m) => [m.path, m]));
    for (const [name, want] of Object.entries(diff)) {
      const have = byPath.get(name);
      if (!have) {
        const [alone, norm] =
          want.norm_a === undefined ? [only_b, want.norm_b!] : [only_a, want.norm_a];
        close(alone.find((m) => m.path === name)!.facts.norm, norm);
        continue;
      }
      close(have.a.norm, want.norm_a!);
      close(have.b.norm, want.norm_b!);
      want.singular_values_a.forEach((s, i) => close(have.a.singular_values[i]!, s));
      want.singular_values_b.forEach((s, i) => close(have.b.singular_values[i]!, s));
      close(have.cosine!, want.cosine);
      close(have.norm_of_difference, want.norm_of_difference);
      close(have.left.whole, want.subspace_left_dW);
      close(have.right.whole, want.subspace_right_dW);
    }
  });
});

/** Its factors in other proportions: the same update. */
const rescaled = (adapter: Adapter, c: number): Adapter => ({
  ...adapter,
  modules: adapter.modules.map((m) => ({
    ...m,
    A: m.A.map((x) => x * c),
    B: m.B.map((x) => x / c),
  })),
});

describe('adapter equality', () => {
  it('holds for rescaled factors, but not for a slightly larger update', async () => {
    const adapter = await read('llama/all-linear', 'adapter');
    expect(compareAdapters(adapter, adapter)).toMatchObject({
      equal: true,
      config: [],
      only_a: [],
      only_b: [],
    });
    expect(compareAdapters(adapter, rescaled(adapter, 8)).equal).toBe(true);
    expect(compareAdapters(adapter, rescaled(adapter, 3)).equal).toBe(true);
    const larger = {
      ...adapter,
      modules: adapter.modules.map((m) => ({ ...m, scaling: m.scaling * 1.001 })),
    };
    expect(compareAdapters(adapter, larger)).toMatchObject({ equal: false });
    expect(compareAdapters(adapter, larger).total.cosine).toBeCloseTo(1, 9);
  });

  it('fails for different DoRA magnitudes or fully trained tensors', async () => {
    const dora = await read('qwen3/dora', 'adapter');
    expect(compareAdapters(dora, dora).equal).toBe(true);
    expect(
      compareAdapters(dora, {
        ...dora,
        modules: dora.modules.map((m) => ({ ...m, magnitude: m.magnitude!.map((x) => 1.01 * x) })),
      }).equal,
    ).toBe(false);
    const whole = await read('mistral/modules-to-save-lm-head', 'adapter');
    expect(
      compareAdapters(whole, {
        ...whole,
        trained: whole.trained.map((t) => ({ ...t, data: t.data.map((x) => x + 1) })),
      }),
    ).toMatchObject({ equal: false, trained: [{ name: 'lm_head.weight' }] });
  });
});

it('reports layers in only one adapter and different settings', async () => {
  const [a, b] = [
    await read('llama/lora-qv', 'adapter'),
    await read('llama/all-linear', 'adapter'),
  ];
  const { only_a, only_b, config } = compareAdapters(a, b);
  expect(only_a).toEqual([]);
  expect(only_b.map((m) => m.path)).toContain('model.layers.0.mlp.down_proj');
  expect(config.map((c) => c.key)).toContain('target_modules');
});

it('measures an update from its factors for any shape and rank', () => {
  fc.assert(
    fc.property(
      fc.record({
        out_features: fc.integer({ min: 1, max: 7 }),
        in_features: fc.integer({ min: 1, max: 7 }),
        r: fc.integer({ min: 1, max: 9 }),
        r2: fc.integer({ min: 1, max: 4 }),
        seed: fc.nat(1e6),
      }),
      ({ out_features, in_features, r, r2, seed }) => {
        const random = createRandom(seed, 'factors');
        const make = (rank: number): LoraFactors => ({
          path: 'x',
          kind: 'linear',
          r: rank,
          in_features,
          out_features,
          scaling: 0.5 + random(),
          magnitude: null,
          A: Float32Array.from({ length: rank * in_features }, () => random() - 0.5),
          B: Float32Array.from({ length: rank * out_features }, () => random() - 0.5),
        });
        const dense = (m: LoraFactors) =>
          Float64Array.from({ length: out_features * in_features }, (_, at) => {
            const [o, i] = [Math.floor(at / in_features), at % in_features];
            return (
              m.scaling *
              Array.from(
                { length: m.r },
                (__, k) => m.B[o * m.r + k]! * m.A[k * in_features + i]!,
              ).reduce((x, y) => x + y, 0)
            );
          });
        const [a, b] = [make(r), make(r2)];
        const [x, y] = [dense(a), dense(b)];
        const { S, left, right } = updateSvd(a);
        const again = x.map((_, at) =>
          S.reduce(
            (sum, s, k) =>
              sum + s * left[k]![Math.floor(at / in_features)]! * right[k]![at % in_features]!,
            0,
          ),
        );
        again.forEach((value, i) => close(value, x[i]!));
        const [compared] = compareAdapters(
          { ...NO_ADAPTER, modules: [a] },
          { ...NO_ADAPTER, modules: [b] },
        ).modules;
        const length = (v: Float64Array) =>
          Math.sqrt(v.reduce((sum, value) => sum + value * value, 0));
        if (compared!.cosine !== null)
          close(
            compared!.cosine * length(x) * length(y),
            x.reduce((sum, v, i) => sum + v * y[i]!, 0),
          );
        close(
          updateNorm(
            sumUpdates([
              { factors: a, weight: 2 },
              { factors: b, weight: -1 },
            ]),
          ),
          Math.sqrt(x.reduce((sum, v, i) => sum + (2 * v - y[i]!) ** 2, 0)),
        );
      },
    ),
    { numRuns: 200 },
  );
});

it('computes effective ranks', async () => {
  const { modules } = compareAdapters(
    await read('llama/pair', 'adapter_a'),
    await read('llama/pair', 'adapter_a'),
  );
  for (const { a, left } of modules) {
    expect(a.rank_90).toBeLessThanOrEqual(a.rank_99);
    expect(a.effective_rank).toBeGreaterThan(1);
    expect(a.effective_rank).toBeLessThanOrEqual(a.r + 1e-9);
    left.phi.forEach((row, i) => close(row[i]!, 1));
    expect(left.random).toBeLessThan(left.whole);
  }
});
