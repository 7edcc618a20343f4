import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { withReplaced } from '../../src/formats/weightSource';
import { neftuneNoise } from '../../src/models/embeddings/neftune';
import { loadModel } from '../../src/models/loadModel';
import type { LabelledInput } from '../../src/models/model';
import type { Ops } from '../../src/models/ops/ops';
import {
  cpuOps,
  fixtures,
  gap,
  inputOf,
  largest,
  loadFixture,
  NO_ADAPTER,
  readFloats,
  readJson,
  tensorFlowOps,
  withBase,
  type BatchRows,
} from '../support/models';

interface LossCase {
  readonly case: string;
  readonly smoothing: number;
  readonly weights: readonly number[];
  readonly losses: Readonly<Record<string, number>>;
}

const CASES = readJson('losses', 'expected.json') as LossCase[];
const KINDS = ['smoothed', 'weighted', 'both'] as const;
let backends: Readonly<Record<string, Ops>>;
beforeAll(async () => {
  backends = { tensorflow: await tensorFlowOps(), cpu: (await cpuOps()).ops };
});

/** The inputs of a case, in which the labels of each row have its weight. */
function weightedInput(name: string, weights: readonly number[] | null): LabelledInput {
  const { inputs } = readJson(name, 'expected.json') as { inputs: BatchRows };
  const input = inputOf(inputs);
  if (!weights) return input;
  const each = input.labels.length / input.batch;
  return {
    ...input,
    weights: Float32Array.from(input.labels, (_, i) => weights[Math.floor(i / each)]!),
  };
}

describe.each(CASES.flatMap((own) => KINDS.map((kind) => [own.case, kind, own] as const)))(
  '%s, %s',
  (name, kind, { smoothing, weights, losses }) => {
    it.each(['tensorflow', 'cpu'])(
      'has the loss and gradients of transformers on %s',
      async (on) => {
        const ops = backends[on]!;
        const family = name.split('/')[0]!;
        const before = ops.live();
        const model = await loadFixture(ops, `${family}/base`, `${name}/adapter`, {
          label_smoothing: kind === 'weighted' ? 0 : smoothing,
        });
        const input = weightedInput(name, kind === 'smoothed' ? null : weights);
        const loaded = ops.live();
        const { loss_sum, weight } = await model.accumulate(input, 0);
        expect(ops.live()).toBe(loaded);
        const want = losses[kind]!;
        expect(Math.abs(loss_sum / weight - want)).toBeLessThanOrEqual(1e-5 * Math.max(1, want));
        const gradients = await model.gradients(weight);
        const saved = await readFloats('losses', `${family}.safetensors`);
        const named = [...saved].filter(([key]) => key.startsWith(`${kind}.`));
        expect(named).toHaveLength(gradients.size);
        for (const [key, data] of named) {
          const found = gradients.get(key.slice(kind.length + 1))!.data;
          expect(gap(found, data), key).toBeLessThanOrEqual(1e-4 * Math.max(1e-2, largest(data)));
        }
        model.dispose();
        expect(ops.live()).toBe(before);
      },
    );
  },
);

it('evaluations are weighted, but not smoothed', async () => {
  const ops = backends['tensorflow']!;
  const load = (label_smoothing: number) =>
    loadFixture(ops, 'llama/base', 'llama/lora-qv/adapter', { label_smoothing });
  const [own] = CASES;
  const model = await load(0.2);
  const { loss_sum, weight } = await model.evaluate(weightedInput(own!.case, own!.weights));
  model.dispose();
  expect(loss_sum / weight).toBeCloseTo(own!.losses['weighted']!, 4);
});

describe('NEFTune', () => {
  const TABLE = 'model.embed_tokens.weight';
  const alpha = 5;
  const seed = 7;
  // each token once, so that its vector can have the noise of its place
  const length = 6;
  const input: LabelledInput = {
    batch: 1,
    length,
    input_ids: Int32Array.of(5, 9, 11, 30, 42, 50),
    attention_mask: new Int32Array(length).fill(1),
    labels: Int32Array.of(-100, -100, 11, 30, 42, 50),
  };

  it('adds noise to the vectors of tokens, the same for the same seed, and none in evaluations', async () => {
    const ops = backends['tensorflow']!;
    const plain = await loadFixture(ops, 'llama3/base', null);
    const noisy = await loadFixture(ops, 'llama3/base', null, { neftune_noise_alpha: alpha });
    const clean = await plain.evaluate(input);
    expect((await noisy.evaluate(input)).loss_sum).toBe(clean.loss_sum);
    const first = await noisy.accumulate(input, seed);
    expect((await noisy.accumulate(input, seed)).loss_sum).toBe(first.loss_sum);
    expect((await noisy.accumulate(input, seed + 1)).loss_sum).not.toBe(first.loss_sum);
    expect(Math.abs(first.loss_sum - clean.loss_sum)).toBeGreaterThan(1e-4);
    const table = await plain.baseTensor(TABLE);
    const { vocab_size } = readJson('llama3/base/config.json') as { vocab_size: number };
    const d = table.length / vocab_size;
    const noise = neftuneNoise(input, d, { alpha, seed });
    input.input_ids.forEach((id, i) => {
      for (let k = 0; k < d; k++) table[id * d + k]! += noise[i * d + k]!;
    });
    plain.dispose();
    noisy.dispose();
    await withBase(path.join(fixtures, 'llama3/base'), async (base) => {
      const replaced = { shape: [table.length / d, d], read: () => Promise.resolve(table) };
      const weights = withReplaced(base.weights, new Map([[TABLE, replaced]]));
      const shifted = await loadModel({ ...base, weights }, NO_ADAPTER, { ops });
      expect((await shifted.evaluate(input)).loss_sum).toBeCloseTo(first.loss_sum, 4);
      shifted.dispose();
    });
  });
});
