import { beforeAll, describe, expect, it } from 'vitest';
import {
  isSharedSooner,
  logProbabilitiesAfter,
  logProbabilitiesOf,
  type MeasuredText,
} from '../../src/engine/evaluation/likelihood';
import { loadModel } from '../../src/models/loadModel';
import type { Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { tensorFlowOps } from '../support/models';
import { smallAdapter, smallBase } from '../support/smallModel';

let ops: TensorFlowOps;
let model: Model;
beforeAll(async () => {
  ops = await tensorFlowOps();
  const adapter = smallAdapter((path) => path.includes('_proj'));
  model = await loadModel(smallBase(), adapter, { ops });
});

const idsOf = (length: number, first: number): number[] =>
  Array.from({ length }, (_, i) => (i * 17 + first) % 40);

/** A question of 9 tokens with its choices. */
const choicesOf = (...lengths: readonly number[]): MeasuredText[] =>
  lengths.map((length, i) => ({ ids: [...idsOf(9, 3), ...idsOf(length, 5 * i)], from: 9 }));

/** By the logits of the whole text. */
async function expected({ ids, from }: MeasuredText): Promise<number> {
  const logits = await model.logits({
    batch: 1,
    length: ids.length,
    input_ids: Int32Array.from(ids),
    attention_mask: new Int32Array(ids.length).fill(1),
  });
  const vocab = logits.length / ids.length;
  return ids.reduce((sum, id, at) => {
    if (at < from) return sum;
    const row = logits.subarray((at - 1) * vocab, at * vocab);
    const total = row.reduce((all, z) => all + Math.exp(z), 0);
    return sum + row[id]! - Math.log(total);
  }, 0);
}

describe('log-probabilities of texts', () => {
  const texts = [
    ...choicesOf(1, 4, 2),
    { ids: idsOf(30, 1), from: 1 },
    { ids: idsOf(2, 7), from: 1 },
  ];

  it('in batches are those of the logits', async () => {
    const tensors = model.liveTensors();
    const found = await logProbabilitiesOf(model, texts, 0);
    for (const [i, text] of texts.entries()) expect(found[i]).toBeCloseTo(await expected(text), 4);
    expect(model.liveTensors()).toBe(tensors);
  });

  it.each([
    ['of different lengths', choicesOf(1, 4, 2)],
    ['of one token each', choicesOf(1, 1)],
    ['whose first token is the same', choicesOf(3, 3).map((own) => ({ ...own, from: 10 }))],
    [
      'whose prompts differ at the end',
      [5, 6].map((id, i) => ({
        ids: [...idsOf(8, 3), id, ...idsOf(2, i)],
        from: 9,
      })),
    ],
  ])('after a prompt that is read once are the same: %s', async (_, choices) => {
    const tensors = model.liveTensors();
    const found = await logProbabilitiesAfter(model.decoder(), choices);
    for (const [i, text] of choices.entries())
      expect(found[i]).toBeCloseTo(await expected(text), 4);
    expect(model.liveTensors()).toBe(tensors);
  });

  it('are measured after one reading where the choices are short', () => {
    const prompt = idsOf(200, 1);
    const choices = (length: number) =>
      [1, 2, 3, 4].map((first) => ({ ids: [...prompt, ...idsOf(length, first)], from: 200 }));
    expect(isSharedSooner(choices(2))).toBe(true);
    expect(isSharedSooner(choices(60))).toBe(false);
  });
});
