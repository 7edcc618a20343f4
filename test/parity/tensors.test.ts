import { beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Ops } from '../../src/models/ops/ops';
import type { Model } from '../../src/models/model';
import { cpuOps, rawOps, restoreState, stateOf, tfBinding } from '../support/models';
import { smallAdapter, smallBase, smallInput, SMALL_CONFIG } from '../support/smallModel';

const SETTINGS = { learning_rate: 1e-2, weight_decay: 0.01, max_grad_norm: 1 };
/** Long enough for more than one block of queries and more than one chunk of the output layer. */
const LONG = smallInput('right', 2, 150);

let raw: TensorFlowOps;
beforeAll(async () => {
  raw = await rawOps();
});

const load = (ops: Ops, lora_dropout = 0) =>
  loadModel(
    smallBase(),
    smallAdapter(() => true),
    { ops, lora_dropout },
  );

async function train(model: Model, steps: number): Promise<void> {
  for (let i = 0; i < steps; i++) {
    const first = await model.accumulate(smallInput('left'), 2 * i);
    const second = await model.accumulate(LONG, 2 * i + 1);
    await model.step(first.labelled + second.labelled, SETTINGS);
  }
}

async function expectNoneLeft(ops: Ops, alive: () => number): Promise<void> {
  const before = alive();
  const model = await load(ops, 0.1);
  const loaded = alive();
  const calls: (() => Promise<unknown>)[] = [
    () => model.logits(smallInput('left')),
    () => model.evaluate(LONG),
    () => train(model, 2),
    () => model.gradients(1),
    () => model.adapter(),
    () => stateOf(model),
    () => model.generate([1, 2, 3], { max_new_tokens: 9, temperature: 0, seed: 0, stop_ids: [] }),
    () =>
      model.generate([1, 2, 3], {
        max_new_tokens: 9,
        temperature: 1,
        seed: 0,
        stop_ids: [],
        onToken: () => false,
      }),
    () => model.accumulate({ ...LONG, labels: new Int32Array(LONG.labels.length).fill(-100) }, 0),
    () => model.baseTensor('lm_head.weight'),
  ];
  for (const [i, call] of calls.entries()) {
    await call();
    expect([alive(), model.liveTensors() + before], `after call ${i}`).toEqual([loaded, loaded]);
  }
  model.dispose();
  expect(alive()).toBe(before);
}

describe('tensors', () => {
  it("are as many after each call as before, by libtensorflow's own count", async () => {
    const binding = await tfBinding();
    const others = binding.getNumOfTensors() - raw.live();
    await expectNoneLeft(raw, () => binding.getNumOfTensors() - others);
  });

  it("are as many after each call as before, by tfjs' own count", async () => {
    const { ops, alive } = await cpuOps();
    await expectNoneLeft(ops, alive);
  });
});

describe('work that is broken off between two operations', () => {
  class Enough extends Error {}

  it.each(['libtensorflow', 'tfjs'] as const)(
    'leaves no tensor behind, wherever that is, on %s',
    async (backing) => {
      const ops = backing === 'tfjs' ? (await cpuOps()).ops : raw;
      const model = await loadModel(
        smallBase(),
        smallAdapter(() => true),
        { ops, recomputed_layers: 1, lora_dropout: 0.1 },
      );
      const loaded = ops.live();
      const { yieldPoint: between } = ops;
      const works: (() => Promise<unknown>)[] = [
        () => model.accumulate(LONG, 0),
        () => model.evaluate(LONG),
        () => model.logits(smallInput('left')),
        () =>
          model.generate([1, 2, 3], { max_new_tokens: 4, temperature: 0, seed: 0, stop_ids: [] }),
      ];
      for (const work of works) {
        let broken = 0;
        for (let isWhole = false; !isWhole; broken++) {
          let left = broken;
          ops.yieldPoint = () => (left-- > 0 ? between() : Promise.reject(new Enough()));
          isWhole = await work().then(
            () => true,
            (error: unknown) => {
              if (!(error instanceof Enough)) throw error;
              return false;
            },
          );
          expect(ops.live(), `after ${broken} operations`).toBe(loaded);
        }
        expect(broken).toBeGreaterThan(3);
      }
      ops.yieldPoint = between;
      model.dispose();
    },
  );
});

describe('training', () => {
  it('leaves every weight of the base as it was, bit for bit', async () => {
    const base = smallBase();
    const model = await load(raw);
    await train(model, 3);
    for (const name of base.weights.tensors.keys()) {
      const [have, want] = [await model.baseTensor(name), await base.weights.readF32(name)];
      expect(
        Buffer.compare(
          Buffer.from(have.buffer, have.byteOffset, have.byteLength),
          Buffer.from(want.buffer),
        ),
        name,
      ).toBe(0);
    }
    model.dispose();
  });

  it.each([0, 0.2])('gives the same bytes each time, with dropout %d', async (lora_dropout) => {
    const runs = [];
    for (let run = 0; run < 5; run++) {
      const model = await load(raw, lora_dropout);
      await train(model, 4);
      runs.push({ adapter: (await model.adapter()).modules, state: await stateOf(model) });
      model.dispose();
    }
    for (const run of runs.slice(1)) expect(run).toEqual(runs[0]);
  });

  it("goes on from an adapter and an optimizer's state as if never interrupted", async () => {
    const whole = await load(raw);
    await train(whole, 2);
    const half = { adapter: await whole.adapter(), optimizer: await stateOf(whole) };
    await train(whole, 2);
    const resumed = await loadModel(smallBase(), half.adapter, { ops: raw });
    await restoreState(resumed, half.optimizer);
    await train(resumed, 2);
    expect(await resumed.adapter()).toEqual(await whole.adapter());
    expect(await stateOf(resumed)).toEqual(await stateOf(whole));
    whole.dispose();
    resumed.dispose();
  });

  it('drops other inputs with another dropout seed, and none in evaluation', async () => {
    const model = await load(raw, 0.5);
    const losses = [];
    for (const seed of [1, 1, 2]) losses.push((await model.accumulate(LONG, seed)).loss_sum);
    expect(losses[0]).toBe(losses[1]);
    expect(losses[0]).not.toBe(losses[2]);
    const plain = await load(raw);
    expect(await model.evaluate(LONG)).toEqual(await plain.evaluate(LONG));
    model.dispose();
    plain.dispose();
  });

  it('is not changed by how the tokens are split over batches', async () => {
    const both = smallInput('none', 4, 12);
    const rows = (from: number, to: number) => ({
      ...both,
      batch: to - from,
      ...Object.fromEntries(
        (['input_ids', 'attention_mask', 'labels'] as const).map((key) => [
          key,
          both[key].subarray(from * 12, to * 12),
        ]),
      ),
    });
    const [one, two] = [await load(raw), await load(raw)];
    const { labelled } = await one.accumulate(both, 0);
    const parts = [await two.accumulate(rows(0, 1), 0), await two.accumulate(rows(1, 4), 0)];
    expect(parts[0]!.labelled + parts[1]!.labelled).toBe(labelled);
    const [a, b] = [await one.gradients(labelled), await two.gradients(labelled)];
    for (const [name, { data }] of a)
      for (const [i, g] of data.entries())
        expect(Math.abs(g - b.get(name)!.data[i]!), name).toBeLessThan(1e-5);
    one.dispose();
    two.dispose();
  });

  it('meets rows of padding alone without NaN', async () => {
    const input = smallInput('left');
    const attention_mask = input.attention_mask.slice().fill(0, 0, input.length);
    const labels = input.labels.slice().fill(-100, 0, input.length);
    const model = await load(raw);
    const logits = await model.logits({ ...input, attention_mask });
    expect(logits.every(Number.isFinite)).toBe(true);
    const { labelled } = await model.accumulate({ ...input, attention_mask, labels }, 0);
    for (const [name, { data }] of await model.gradients(labelled))
      expect(data.every(Number.isFinite), name).toBe(true);
    model.dispose();
  });
});

it('refuses an adapter that does not fit, and leaves nothing behind', async () => {
  const before = raw.live();
  const wider = smallAdapter((path) => path.endsWith('q_proj'), {
    ...SMALL_CONFIG,
    hidden_size: 32,
  });
  await expect(loadModel(smallBase(), wider, { ops: raw })).rejects.toMatchObject({
    area: 'adapter',
    problems: [{}, {}],
  });
  expect(raw.live()).toBe(before);
});

it('frees what it has read when a weight turns out to be damaged', async () => {
  const before = raw.live();
  const base = smallBase();
  const readF32 = (name: string) =>
    name === 'model.norm.weight' ? Promise.reject(new Error('torn')) : base.weights.readF32(name);
  await expect(
    loadModel(
      { ...base, weights: { ...base.weights, readF32 } },
      smallAdapter(() => true),
      { ops: raw },
    ),
  ).rejects.toThrow('torn');
  expect(raw.live()).toBe(before);
});
