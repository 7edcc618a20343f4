import { describe, expect, it } from 'vitest';
import { heaviest } from '../../../../src/models/sampling/largest';
import { processLogits } from '../../../../src/models/sampling/processLogits';
import { sampleToken } from '../../../../src/models/sampling/sampleToken';
import type { SamplingSettings } from '../../../../src/models/sampling/settings';
import { tokenChances } from '../../../../src/models/sampling/tokenChances';
import { createRandom } from '../../../../src/shared/random';
import { readJson } from '../../../support/models';

interface Fixture {
  readonly logits: readonly number[];
  readonly seen: readonly number[];
  readonly cases: readonly {
    readonly settings: Partial<SamplingSettings>;
    readonly scores: readonly (number | null)[];
  }[];
}
const { logits, seen, cases } = readJson('sampling.json') as Fixture;
const scores = Float32Array.from(logits);
const plain = { temperature: 1, seed: 0 };
const text = { prompt: seen, written: [] };
const after = (count: number) => ({ prompt: seen, written: new Array<number>(count).fill(0) });

describe('the scores of tokens', () => {
  it.each(cases)('are those of the LogitsProcessors of transformers: $settings', (own) => {
    const have = processLogits(scores, { ...plain, ...own.settings }, text);
    own.scores.forEach((want, id) => {
      if (want === null) expect(have[id], `token ${id}`).toBe(-Infinity);
      else expect(have[id], `token ${id}`).toBeCloseTo(want, 5);
    });
  });

  it.each([
    [{ frequency_penalty: 0.5 }, [1, 1 - 1, 1 - 1.5, 1]],
    [{ presence_penalty: 0.5 }, [1, 1 - 0.5, 1 - 0.5, 1]],
    [{ frequency_penalty: -1, presence_penalty: 2 }, [1, 1 + 2 - 2, 1 + 3 - 2, 1]],
    [{ frequency_penalty: 1, temperature: 0.5 }, [2, -2, -4, 2]],
  ])('are less by what was written, but not by the prompt: %j', (settings, want) => {
    const text = { prompt: [0, 0, 3], written: [1, 2, 2, 1, 2] };
    const have = processLogits(Float32Array.of(1, 1, 1, 1), { ...plain, ...settings }, text);
    expect([...have]).toEqual(want);
  });

  it.each([20, 300])(
    'leave the %i largest of many by top_k, and those that equal the last',
    (k) => {
      const random = createRandom(3, 'scores');
      const many = Float32Array.from({ length: 2000 }, () => Math.round(random() * 500));
      const least = [...many].sort((a, b) => b - a)[k - 1]!;
      const have = processLogits(many, { ...plain, top_k: k }, text);
      expect([...have]).toEqual([...many].map((z) => (z < least ? -Infinity : z)));
    },
  );

  it('leave at least the most likely token', () => {
    for (const settings of [{ top_k: 1 }, { top_p: 0 }, { min_p: 1 }]) {
      const left = processLogits(Float32Array.of(1, 3, 2), { ...plain, ...settings }, text);
      expect([...left]).toEqual([-Infinity, 3, -Infinity]);
    }
  });
});

describe('the heaviest weights', () => {
  const byOneAfterTheOther = (weights: Float64Array, most: number) => {
    const stays = new Uint8Array(weights.length).fill(1);
    const order = [...weights.keys()].sort((a, b) => weights[a]! - weights[b]! || a - b);
    let sum = 0;
    for (const i of order.slice(0, -1)) {
      sum += weights[i]!;
      if (sum > most) break;
      stays[i] = 0;
    }
    return stays;
  };

  it.each([0, 1e-9, 0.01, 0.3, 0.999, 1, 5])(
    'stay where a mass of %f of them does not',
    (share) => {
      const random = createRandom(5, 'weights');
      for (const count of [1, 2, 60, 3000]) {
        // many are equal, and exact sums have no last bits
        const weights = Float64Array.from({ length: count }, () => 2 ** -Math.floor(random() * 30));
        const most = share * weights.reduce((a, b) => a + b, 0);
        expect(heaviest(weights, most)).toEqual(byOneAfterTheOther(weights, most));
      }
    },
  );
});

describe('the next token', () => {
  it('is the most likely one at temperature 0, the first of equal ones', () => {
    const settings = { temperature: 0, seed: 0 };
    expect(sampleToken(Float32Array.of(1, 5, 5), settings, text)).toBe(1);
    const penalized = { ...settings, repetition_penalty: 2 };
    expect(sampleToken(Float32Array.of(1, 5, 4), penalized, { prompt: [1], written: [] })).toBe(2);
    const frequent = { ...settings, frequency_penalty: 1 };
    expect(sampleToken(Float32Array.of(1, 5, 4), frequent, { prompt: [], written: [1, 1] })).toBe(
      2,
    );
  });

  it('depends on the seed and its number alone, and is as likely as its score says', () => {
    const drawn = (seed: number) =>
      Array.from({ length: 2000 }, (_, i) =>
        sampleToken(Float32Array.of(0, Math.log(3)), { temperature: 1, seed }, after(i)),
      );
    expect(drawn(4)).toEqual(drawn(4));
    expect(drawn(5)).not.toEqual(drawn(4));
    const share = drawn(4).filter((id) => id === 1).length / 2000;
    expect(Math.abs(share - 0.75)).toBeLessThan(0.04);
  });

  it('is never one that is left out', () => {
    const settings = { temperature: 2, seed: 1, top_k: 2 };
    const drawn = Array.from({ length: 200 }, (_, i) =>
      sampleToken(Float32Array.of(1, 2, 3, 0), settings, after(i)),
    );
    expect(new Set(drawn)).toEqual(new Set([1, 2]));
  });
});

it('gives the log-probabilities of a token and of the most likely ones', () => {
  const { chosen, top } = tokenChances(Float32Array.of(0, 2, 1, 2), 2, 3);
  const total = Math.log(1 + 2 * Math.exp(2) + Math.E);
  expect(chosen.id).toBe(2);
  expect(chosen.logprob).toBeCloseTo(1 - total, 6);
  expect(top.map(({ id }) => id)).toEqual([1, 3, 2]);
  expect(top[0]!.logprob).toBeCloseTo(2 - total, 6);
  expect(tokenChances(Float32Array.of(0, 2), 0, 0).top).toEqual([]);
});
