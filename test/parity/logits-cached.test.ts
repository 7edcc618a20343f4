import { beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Model } from '../../src/models/model';
import { loadFixture, rawOps } from '../support/models';
import { smallAdapter, smallBase } from '../support/smallModel';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await rawOps();
});

const plain = { temperature: 0, seed: 0, stop_ids: [] };

/** The token after `ids` by a whole forward pass, and its lead over the second. */
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

async function expectSameAsWhole(
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

describe('generation over cached keys and values', () => {
  it.each(['llama', 'llama3', 'mistral', 'qwen2'])(
    'chooses what a whole forward pass chooses: %s',
    async (family) => {
      const model = await loadFixture(ops, `${family}/base`, null);
      await expectSameAsWhole(model, [7, 300, 12, 45, 99, 130, 22], 24);
      model.dispose();
    },
  );

  it('does so with an adapter on every module and a prompt of several blocks', async () => {
    const model = await loadModel(
      smallBase(),
      smallAdapter(() => true),
      { ops },
    );
    await expectSameAsWhole(
      model,
      Array.from({ length: 140 }, (_, i) => (i * 17 + 3) % 40),
      10,
    );
    model.dispose();
  });

  it('stops at a stop id, which it leaves out, and when it is told to', async () => {
    const model = await loadFixture(ops, 'llama/base', null);
    const free = await model.generate([7, 8, 9], { ...plain, max_new_tokens: 12 });
    const stop = free[5]!;
    expect(
      await model.generate([7, 8, 9], { ...plain, max_new_tokens: 12, stop_ids: [stop] }),
    ).toEqual(free.slice(0, free.indexOf(stop)));
    const seen: number[] = [];
    const onToken = (id: number) => seen.push(id) < 4;
    expect(await model.generate([7, 8, 9], { ...plain, max_new_tokens: 12, onToken })).toEqual(
      free.slice(0, 4),
    );
    expect(seen).toEqual(free.slice(0, 4));
    expect(await model.generate([7, 8, 9], { ...plain, max_new_tokens: 0 })).toEqual([]);
    model.dispose();
  });

  it('draws by seed and temperature', async () => {
    const model = await loadFixture(ops, 'llama/base', null);
    const draw = (seed: number, temperature: number) =>
      model.generate([7, 8, 9], { seed, temperature, stop_ids: [], max_new_tokens: 20 });
    expect(await draw(1, 1)).toEqual(await draw(1, 1));
    expect(await draw(1, 1)).not.toEqual(await draw(2, 1));
    expect(await draw(1, 1e-4)).toEqual(
      await model.generate([7, 8, 9], { ...plain, max_new_tokens: 20 }),
    );
    model.dispose();
  });
});
