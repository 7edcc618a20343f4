import { beforeAll, describe, expect, it } from 'vitest';
import { CHUNK_TOKENS } from '../../src/models/decoder';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Model } from '../../src/models/model';
import { loadFixture, tensorFlowOps } from '../support/models';
import { smallAdapter, smallBase } from '../support/smallModel';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const longPrompt = (length: number) => Array.from({ length }, (_, i) => (i * 17 + 3) % 40);

const plain = { temperature: 0, seed: 0, stop_ids: [] };

/** The most likely token after `ids` by one forward pass, and its lead over the second. */
async function next(model: Model, ids: readonly number[]): Promise<{ id: number; lead: number }> {
  const logits = await model.logits({
    batch: 1,
    length: ids.length,
    input_ids: Int32Array.from(ids),
    attention_mask: new Int32Array(ids.length).fill(1),
  });
  const last = Array.from(logits.subarray(logits.length - logits.length / ids.length));
  const [first, second] = last.map((z, id) => ({ z, id })).sort((a, b) => b.z - a.z);
  return { id: first!.id, lead: first!.z - second!.z };
}

async function expectSameAsForwardPass(
  model: Model,
  prompt: readonly number[],
  count: number,
): Promise<void> {
  const ids = await model.generate(prompt, { ...plain, max_new_tokens: count });
  expect(ids).toHaveLength(count);
  for (let i = 0; i < count; i++) {
    const { id, lead } = await next(model, [...prompt, ...ids.slice(0, i)]);
    if (lead > 1e-4) expect(ids[i], `token ${i}`).toBe(id);
  }
}

describe('generation with the KV cache', () => {
  it.each([
    'llama',
    'llama3',
    'mistral',
    'qwen2',
    'granite',
    'olmo3',
    'ministral3',
    'ernie4_5',
    'glm4',
    'exaone4',
    'qwen3-vl',
    'lfm2',
    'gemma4',
    'gpt_oss',
    'gemma4-moe',
    'qwen3_moe',
    'qwen3_5',
  ])('chooses the same tokens as a full forward pass: %s', async (family) => {
    const model = await loadFixture(ops, `${family}/base`, null);
    await expectSameAsForwardPass(model, [7, 300, 12, 45, 99, 130, 22], 24);
    model.dispose();
  });

  it('does so where the norms of queries and keys follow RoPE', async () => {
    const model = await loadFixture(ops, 'hunyuan/base', 'hunyuan/lora/adapter');
    await expectSameAsForwardPass(model, [7, 30, 12, 45, 9, 13, 22], 24);
    model.dispose();
  });

  it('does so with an adapter on every module and a prompt of several row blocks', async () => {
    const model = await loadModel(
      smallBase(),
      smallAdapter(() => true),
      { ops },
    );
    await expectSameAsForwardPass(
      model,
      Array.from({ length: 140 }, (_, i) => (i * 17 + 3) % 40),
      10,
    );
    model.dispose();
  });

  it.each([
    ['ends with a chunk', 2 * CHUNK_TOKENS],
    ['ends with one token', CHUNK_TOKENS + 1],
    ['ends within a chunk', 2 * CHUNK_TOKENS + 150],
  ])('does so with a prompt that is read in chunks and %s', async (_, length) => {
    const model = await loadModel(
      smallBase(),
      smallAdapter(() => true),
      { ops },
    );
    const before = model.liveTensors();
    await expectSameAsForwardPass(model, longPrompt(length), 4);
    expect(model.liveTensors()).toBe(before);
    model.dispose();
  });

  it('ends within the prompt once it is stopped', async () => {
    const model = await loadModel(
      smallBase(),
      smallAdapter(() => true),
      { ops },
    );
    const before = model.liveTensors();
    for (const operations of [0, 1, 2, 4]) {
      let left = operations;
      const generated = await model.generate(longPrompt(3 * CHUNK_TOKENS), {
        ...plain,
        max_new_tokens: 3,
        isStopped: () => left-- <= 0,
        onToken: () => expect.unreachable(),
      });
      expect(generated).toEqual([]);
      expect(model.liveTensors()).toBe(before);
    }
    model.dispose();
  });

  it('stops before a stop id and if onToken returns false', async () => {
    const model = await loadFixture(ops, 'llama/base', null);
    const unstopped = await model.generate([7, 8, 9], { ...plain, max_new_tokens: 12 });
    const stop = unstopped[5]!;
    expect(
      await model.generate([7, 8, 9], { ...plain, max_new_tokens: 12, stop_ids: [stop] }),
    ).toEqual(unstopped.slice(0, unstopped.indexOf(stop)));
    const seen: number[] = [];
    const onToken = (id: number) => seen.push(id) < 4;
    expect(await model.generate([7, 8, 9], { ...plain, max_new_tokens: 12, onToken })).toEqual(
      unstopped.slice(0, 4),
    );
    expect(seen).toEqual(unstopped.slice(0, 4));
    expect(await model.generate([7, 8, 9], { ...plain, max_new_tokens: 0 })).toEqual([]);
    model.dispose();
  });

  it('samples reproducibly by seed and temperature', async () => {
    const model = await loadFixture(ops, 'llama/base', null);
    const sample = (seed: number, temperature: number) =>
      model.generate([7, 8, 9], { seed, temperature, stop_ids: [], max_new_tokens: 20 });
    expect(await sample(1, 1)).toEqual(await sample(1, 1));
    expect(await sample(1, 1)).not.toEqual(await sample(2, 1));
    expect(await sample(1, 1e-4)).toEqual(
      await model.generate([7, 8, 9], { ...plain, max_new_tokens: 20 }),
    );
    model.dispose();
  });
});
