import { beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Ops } from '../../src/models/ops/ops';
import type { Model } from '../../src/models/model';
import { cpuOps, tensorFlowOps, restoreState, stateOf, tfBinding } from '../support/models';
import { smallAdapter, smallBase, smallInput, SMALL_CONFIG } from '../support/smallModel';

const SETTINGS = { learning_rate: 1e-2, weight_decay: 0.01, max_grad_norm: 1 };
/** Long enough for several row blocks and several chunks of the output layer. */
const LONG = smallInput('right', 2, 150);

let tensorFlow: TensorFlowOps;
beforeAll(async () => {
  tensorFlow = await tensorFlowOps();
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

async function expectAllFreed(ops: Ops, alive: () => number): Promise<void> {
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
  it("are freed after each call, by libtensorflow's count", async () => {
    const binding = await tfBinding();
    const others = binding.getNumOfTensors() - tensorFlow.live();
    await expectAllFreed(tensorFlow, () => binding.getNumOfTensors() - others);
  });

  it("are freed after each call, by tfjs' count", async () => {
    const { ops, alive } = await cpuOps();
    await expectAllFreed(ops, alive);
  });
});

describe('work that is interrupted at a yield point', () => {
  class Interrupted extends Error {}

  it.each(['libtensorflow', 'tfjs'] as const)(
    'frees all tensors, at whichever point, on %s',
    async (backend) => {
      const ops = backend === 'tfjs' ? (await cpuOps()).ops : tensorFlow;
      const model = await loadModel(
        smallBase(),
        smallAdapter(() => true),
        { ops, recomputed_layers: 1, lora_dropout: 0.1 },
      );
      const loaded = ops.live();
      const { yieldPoint } = ops;
      const works: (() => Promise<unknown>)[] = [
        () => model.accumulate(LONG, 0),
        () => model.evaluate(LONG),
        () => model.logits(smallInput('left')),
        () =>
          model.generate([1, 2, 3], { max_new_tokens: 4, temperature: 0, seed: 0, stop_ids: [] }),
      ];
      for (const work of works) {
        let yieldPoints = 0;
        for (let isComplete = false; !isComplete; yieldPoints++) {
          let left = yieldPoints;
          ops.yieldPoint = () => (left-- > 0 ? yieldPoint() : Promise.reject(new Interrupted()));
          isComplete = await work().then(
            () => true,
            (error: unknown) => {
              if (!(error instanceof Interrupted)) throw error;
              return false;
            },
          );
          expect(ops.live(), `after ${yieldPoints} yield points`).toBe(loaded);
        }
        expect(yieldPoints).toBeGreaterThan(3);
      }
      ops.yieldPoint = yieldPoint;
      model.dispose();
    },
  );
});

describe('training', () => {
  it("does not change a bit of the base's weights", async () => {
    const base = smallBase();
    const model = await load(tensorFlow);
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

  it.each([0, 0.2])('is deterministic, with dropout %d', async (lora_dropout) => {
    const runs = [];
    for (let run = 0; run < 5; run++) {
      const model = await load(tensorFlow, lora_dropout);
      await train(model, 4);
      runs.push({ adapter: (await model.adapter()).modules, state: await stateOf(model) });
      model.dispose();
    }
    for (const run of runs.slice(1)) expect(run).toEqual(runs[0]);
  });

  it('resumes from an adapter and optimizer state with the same results', async () => {
    const uninterrupted = await load(tensorFlow);
    await train(uninterrupted, 2);
    const adapter = await uninterrupted.adapter();
    const state = await stateOf(uninterrupted);
    await train(uninterrupted, 2);
    const resumed = await loadModel(smallBase(), adapter, { ops: tensorFlow });
    await restoreState(resumed, state);
    await train(resumed, 2);
    expect(await resumed.adapter()).toEqual(await uninterrupted.adapter());
    expect(await stateOf(resumed)).toEqual(await stateOf(uninterrupted));
    uninterrupted.dispose();
    resumed.dispose();
  });

  it('applies dropout by seed, and none in evaluation', async () => {
    const model = await load(tensorFlow, 0.5);
    const losses = [];
    for (const seed of [1, 1, 2]) losses.push((await model.accumulate(LONG, seed)).loss_sum);
    expect(losses[0]).toBe(losses[1]);
    expect(losses[0]).not.toBe(losses[2]);
    const plain = await load(tensorFlow);
    expect(await model.evaluate(LONG)).toEqual(await plain.evaluate(LONG));
    model.dispose();
    plain.dispose();
  });

  it('does not depend on how the rows are split into batches', async () => {
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
    const [one, two] = [await load(tensorFlow), await load(tensorFlow)];
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

  it('gives no NaN for rows of padding only', async () => {
    const input = smallInput('left');
    const attention_mask = input.attention_mask.slice().fill(0, 0, input.length);
    const labels = input.labels.slice().fill(-100, 0, input.length);
    const model = await load(tensorFlow);
    const logits = await model.logits({ ...input, attention_mask });
    expect(logits.every(Number.isFinite)).toBe(true);
    const { labelled } = await model.accumulate({ ...input, attention_mask, labels }, 0);
    for (const [name, { data }] of await model.gradients(labelled))
      expect(data.every(Number.isFinite), name).toBe(true);
    model.dispose();
  });
});

it('rejects an adapter that does not fit, and frees all tensors', async () => {
  const before = tensorFlow.live();
  const wider = smallAdapter((path) => path.endsWith('q_proj'), {
    ...SMALL_CONFIG,
    hidden_size: 32,
  });
  await expect(loadModel(smallBase(), wider, { ops: tensorFlow })).rejects.toMatchObject({
    area: 'adapter',
    problems: [{}, {}],
  });
  expect(tensorFlow.live()).toBe(before);
});

it('frees loaded tensors if a weight cannot be read', async () => {
  const before = tensorFlow.live();
  const base = smallBase();
  const readF32 = (name: string) =>
    name === 'model.norm.weight'
      ? Promise.reject(new Error('damaged'))
      : base.weights.readF32(name);
  await expect(
    loadModel(
      { ...base, weights: { ...base.weights, readF32 } },
      smallAdapter(() => true),
      { ops: tensorFlow },
    ),
  ).rejects.toThrow('damaged');
  expect(tensorFlow.live()).toBe(before);
});
