import { beforeAll, describe, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { BatchScheduler } from '../../src/engine/serve/batchScheduler';
import { generateTokens } from '../../src/models/generate';
import type { StepTimes } from '../../src/models/drafts/stepTimes';
import { loadModel } from '../../src/models/loadModel';
import type { Decoder, DraftChecks, GenerateOptions, Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Products } from '../../src/shared/products';
import { loadFixture, tensorFlowOps, withBase } from '../support/models';
import { smollm2Path } from '../support/realModels';
import { smallAdapter, smallBase } from '../support/smallModel';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

/** Repeats itself, so that there is something to look up. */
const promptOf = (length: number, period: number) =>
  Array.from({ length }, (_, i) => ((i % period) * 7 + 3) % 40);

interface Watched {
  readonly decoder: Decoder;
  readonly counts: { steps: number; drafted: number; kept: number };
}

/** A decoder with other drafts, whose methods are those of the model's. */
function watched(
  model: Model,
  drafts: (own: DraftChecks | null) => DraftChecks | null,
  products: Products = 'exact',
): Watched {
  const own = model.decoder(products);
  const counts = { steps: 0, drafted: 0, kept: 0 };
  const checks = drafts(own.drafts);
  const decoder = Object.create(own, {
    drafts: {
      value: checks && {
        ...checks,
        keep: (...given: Parameters<DraftChecks['keep']>) => {
          counts.kept++;
          checks.keep(...given);
        },
      },
    },
    step: {
      value: (...given: Parameters<Decoder['step']>) => {
        counts.steps++;
        counts.drafted += given[2]?.flat().length ?? 0;
        return own.step(...given);
      },
    },
  }) as Decoder;
  return { decoder, counts };
}

/** Further rows cost nothing: as many tokens as possible are drafted. */
const eager = (own: DraftChecks | null): DraftChecks | null =>
  own && {
    ...own,
    times: Object.assign(Object.create(own.times) as StepTimes, { ratio: () => 1 }),
  };

const GREEDY = { temperature: 0, seed: 0, stop_ids: [] };

/** Random weights repeat nothing by themselves. */
const REPEATING = { repetition_penalty: 0.4 };

/** The tokens with as many drafts as possible, which must be those without. */
async function expectSame(
  model: Model,
  prompt: readonly number[],
  options: GenerateOptions,
): Promise<Watched['counts']> {
  const tensors = model.liveTensors();
  const yieldPoint = () => Promise.resolve();
  const { decoder, counts } = watched(model, eager, options.products);
  const own = await generateTokens(decoder, prompt, { ...options, yieldPoint });
  const without = watched(model, () => null, options.products);
  const wanted = await generateTokens(without.decoder, prompt, { ...options, yieldPoint });
  expect(own).toEqual(wanted);
  expect(without.counts.drafted).toBe(0);
  expect(model.liveTensors()).toBe(tensors);
  return counts;
}

describe('tokens written with drafts are those without', () => {
  it.each([
    ['llama', true],
    ['mistral', true],
    ['qwen2', true],
    ['ministral3', true],
    ['rope-dynamic', true],
    ['rope-longrope-long', true],
    ['gemma2', false],
    ['gpt2', false],
    ['qwen3', false],
    ['qwen3_5', false],
    ['lfm2', false],
    ['gemma4', false],
    ['gpt_oss', false],
    ['t5', false],
  ] as const)('%s, which takes drafts: %s', async (family, takesDrafts) => {
    const model = await loadFixture(ops, `${family}/base`, null);
    expect(model.decoder().drafts !== null).toBe(takesDrafts);
    if (!takesDrafts) {
      await expectSame(model, promptOf(24, 5), { ...GREEDY, ...REPEATING, max_new_tokens: 10 });
      model.dispose();
      return;
    }
    let kept = 0;
    for (const [length, period] of [
      [3, 2],
      [9, 4],
      [24, 24],
      [40, 11],
      [150, 20],
    ] as const)
      for (const settings of [
        GREEDY,
        { ...GREEDY, ...REPEATING },
        { ...GREEDY, ...REPEATING, temperature: 0.5 },
        { ...GREEDY, temperature: 1 },
      ]) {
        const options = { ...settings, seed: length, max_new_tokens: 40 };
        kept += (await expectSame(model, promptOf(length, period), options)).kept;
      }
    expect(kept).toBeGreaterThan(0);
    model.dispose();
  });

  it('with an adapter, a window, and a stop token or a limit within a draft', async () => {
    const model = await loadModel(
      smallBase(),
      smallAdapter(() => true),
      { ops },
    );
    const prompt = promptOf(30, 5);
    const long = { ...GREEDY, max_new_tokens: 60 };
    const ids = await model.generate(prompt, long);
    expect((await expectSame(model, prompt, long)).kept).toBeGreaterThan(5);
    for (const stop of new Set(ids)) await expectSame(model, prompt, { ...long, stop_ids: [stop] });
    for (let most = 0; most < 20; most++)
      await expectSame(model, prompt, { ...long, max_new_tokens: most });
    for (let most = 1; most < 20; most++) {
      const asked = () => {
        let count = 0;
        return () => ++count < most;
      };
      const [own, other] = [asked(), asked()];
      const a = await model.generate(prompt, { ...long, onToken: own });
      const { decoder } = watched(model, eager);
      const yieldPoint = () => Promise.resolve();
      const b = await generateTokens(decoder, prompt, { ...long, yieldPoint, onToken: other });
      expect(b).toEqual(a);
    }
    model.dispose();
  });

  it('up to the last position, which no draft exceeds', async () => {
    const model = await loadFixture(ops, 'llama/base', null);
    const positions = 50;
    const ends: number[] = [];
    const bounded = (own: Decoder) =>
      Object.create(own, {
        remainingPositions: { value: (length: number) => positions - length + 1 },
        step: {
          value: (...given: Parameters<Decoder['step']>) => {
            ends.push(given[0][0]!.length + 1 + (given[2]?.[0]!.length ?? 0));
            return own.step(...given);
          },
        },
      }) as Decoder;
    for (let left = 0; left < 12; left++) {
      const prompt = promptOf(positions - left, 5);
      const options = { ...GREEDY, ...REPEATING, max_new_tokens: 1000 };
      const yieldPoint = () => Promise.resolve();
      const written = [eager, () => null].map((drafts) =>
        generateTokens(bounded(watched(model, drafts).decoder), prompt, { ...options, yieldPoint }),
      );
      const [own, without] = await Promise.all(written);
      expect(own).toHaveLength(left + 1);
      expect(own).toEqual(without);
    }
    expect(Math.max(...ends)).toBe(positions);
    model.dispose();
  });

  it.each([
    ['rounded', true],
    ['exact', true],
    ['exact', false],
  ] as const)('of SmolLM2 by %s products, kept in blocks: %s', async (products, quantized) =>
    withBase(await smollm2Path(), async (base) => {
      const model = await loadModel(base, EMPTY_ADAPTER, { ops, quantized });
      const prompt = Array.from({ length: 30 }, (_, i) => 300 + (i % 10) * 17);
      const options = { ...GREEDY, ...REPEATING, products, max_new_tokens: 24 };
      expect((await expectSame(model, prompt, options)).kept).toBeGreaterThan(0);
      await expectSame(model, prompt, { ...GREEDY, products, max_new_tokens: 24 });
      model.dispose();
    }),
  );

  it('with penalties and fewer tokens to choose from', async () => {
    const model = await loadFixture(ops, 'llama/base', null);
    for (const settings of [
      { repetition_penalty: 1.3 },
      { frequency_penalty: 0.2, presence_penalty: 0.1 },
      { temperature: 0.8, top_k: 5 },
      { temperature: 1.2, top_p: 0.8, min_p: 0.02 },
    ])
      await expectSame(model, promptOf(20, 6), { ...GREEDY, ...settings, max_new_tokens: 40 });
    model.dispose();
  });
});

describe('several requests of a server', () => {
  /** Tokens of all requests, one after the other by kept sequences, and at once. */
  async function written(decoder: Decoder, sequences: number): Promise<number[][]> {
    const model = { decoder: () => decoder } as unknown as Model;
    const limits = { sequences, waiting: 20, kept_bytes: 1e7 };
    const scheduler = new BatchScheduler({ mixed: () => Promise.resolve({ model }) }, limits);
    const answer = async (prompt: readonly number[], seed: number) => {
      const ids: number[] = [];
      const end = await scheduler.generate({
        mix: [],
        input_ids: prompt,
        stop_ids: [11],
        max_new_tokens: 10 + seed,
        sampling: { temperature: seed % 3 === 0 ? 0.5 : 0, seed, ...REPEATING },
        constraint: null,
        top_logprobs: null,
        signal: new AbortController().signal,
        onToken: (id) => {
          ids.push(id);
          return true;
        },
      });
      return [end.cached_tokens, ...ids];
    };
    const first = promptOf(40, 9);
    const all = [await answer(first, 30)];
    // continues where the first one ended: by the keys and values that it left
    all.push(await answer([...first, ...all[0]!.slice(1), 5, 6], 31));
    all.push(
      ...(await Promise.all([4, 7, 9, 13, 20].map((n, i) => answer(promptOf(30 + n, n), 20 + i)))),
    );
    await scheduler.close();
    return all;
  }

  it.each([1, 3, 12])('write the same with drafts, %i at once', async (sequences) => {
    const model = await loadFixture(ops, 'llama/base', null);
    const tensors = model.liveTensors();
    const { decoder, counts } = watched(model, eager);
    const without = watched(model, () => null);
    expect(await written(decoder, sequences)).toEqual(await written(without.decoder, sequences));
    expect(counts.kept).toBeGreaterThan(0);
    expect(counts.steps).toBeLessThan(without.counts.steps);
    expect(model.liveTensors()).toBe(tensors);
    model.dispose();
  });
});
