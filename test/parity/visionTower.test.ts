import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { mergeModel } from '../../src/engine/merge/mergeModel';
import { modulesOf } from '../../src/formats/architecture/modules';
import { matchTargets } from '../../src/lora/targets';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel, type LoadOptions } from '../../src/models/loadModel';
import type { LabelledInput, Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { atImages, chatBatch, withImageModel } from '../support/chatImages';
import { tensorsIn } from '../support/conversions';
import { PLAIN_MERGE } from '../support/mergeOptions';
import {
  fixtures,
  gap,
  largest,
  NO_ADAPTER,
  readFloats,
  readJson,
  tensorFlowOps,
  visible,
  withBase,
  type Floats,
} from '../support/models';
import { temp } from '../support/temp';

const FOLDER = 'qwen3-vl-tower';

interface Expected {
  readonly losses: Readonly<Record<string, number>>;
  /** Whole paths in the whole model, by adapter or expression. */
  readonly selected: Readonly<Record<string, readonly string[]>>;
}

let ops: TensorFlowOps;
let want: Floats;
let input: LabelledInput;
const expected = readJson(FOLDER, 'expected.json') as Expected;
const ADAPTERS = ['linear', 'named', 'merger'] as const;
const STEP = { learning_rate: 1e-2, weight_decay: 0.1, max_grad_norm: 1 };

beforeAll(async () => {
  ops = await tensorFlowOps();
  want = await readFloats(FOLDER, 'expected.safetensors');
  input = await chatBatch();
});

const withModel = (
  name: string,
  use: (model: Model) => Promise<void>,
  options: Partial<LoadOptions> = {},
) => withImageModel(path.join(fixtures, FOLDER, name), use, { ops, ...options });

const close = (have: Float32Array, values: Float32Array, tolerance: number, name?: string) => {
  expect(have.length, name).toBe(values.length);
  expect(gap(have, values), name).toBeLessThanOrEqual(tolerance * Math.max(1e-2, largest(values)));
};

/** The name that a tensor of PEFT's has here. */
const nameHere = (key: string): string =>
  key
    .slice(key.indexOf('base_model'))
    .replace('.model.language_model.', '.model.')
    .replace('.modules_to_save.', '.');

describe.each(ADAPTERS)('the adapter %s on the tower for images', (name) => {
  it("has PEFT's logits", () =>
    withModel(name, async (model) => {
      const logits = visible(await model.logits(input), input);
      const right = want.get(`${name}.logits`)!;
      const first = input.attention_mask.subarray(0, input.length).reduce((sum, n) => sum + n, 0);
      const vocab = 388;
      const own = logits.subarray(0, first * vocab);
      expect(own.length).toBeGreaterThan(0);
      expect(gap(own, right.subarray(0, own.length))).toBeLessThanOrEqual(
        5e-5 * Math.max(1, largest(right)),
      );
    }));

  it("has PEFT's loss and gradients, and frees all tensors", async () => {
    const before = ops.live();
    await withModel(name, async (model) => {
      const loaded = ops.live();
      const evaluated = await model.evaluate(input);
      const trained = await model.accumulate(input, 0);
      const loss = expected.losses[name]!;
      for (const { loss_sum, labelled } of [evaluated, trained])
        expect(Math.abs(loss_sum / labelled - loss)).toBeLessThanOrEqual(1e-5 * loss);
      const gradients = await model.gradients(trained.labelled);
      const named = [...want].filter(([key]) => key.startsWith(`${name}.grad.`));
      expect(gradients.size).toBe(named.length);
      for (const [key, data] of named) {
        const own = nameHere(key);
        expect(largest(data), own).toBeGreaterThan(0);
        close(gradients.get(own)!.data, data, 1e-4, own);
      }
      await model.step(trained.labelled, STEP);
      expect(ops.live()).toBe(loaded);
    });
    expect(ops.live()).toBe(before);
  });

  it('has the same gradients where its passes are computed again, with dropout too', async () => {
    for (const lora_dropout of [0, 0.3]) {
      const flat: Float32Array[] = [];
      for (const recomputed_layers of [0, 3])
        await withModel(
          name,
          async (model) => {
            const { labelled } = await model.accumulate(input, 5);
            const gradients = await model.gradients(labelled);
            flat.push(Float32Array.from([...gradients.values()].flatMap(({ data }) => [...data])));
          },
          { recomputed_layers, lora_dropout },
        );
      expect(gap(flat[0]!, flat[1]!)).toBeLessThanOrEqual(1e-8);
    }
  });

  it('has nearly the same gradients in bf16', async () => {
    const flat: Float32Array[] = [];
    for (const base_dtype of ['float32', 'bfloat16'] as const)
      await withModel(
        name,
        async (model) => {
          const { labelled } = await model.accumulate(input, 0);
          const gradients = await model.gradients(labelled);
          flat.push(Float32Array.from([...gradients.values()].flatMap(({ data }) => [...data])));
        },
        { base_dtype },
      );
    const [exact, rounded] = flat as [Float32Array, Float32Array];
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, n, i) => sum + n * b[i]!, 0);
    const cosine = dot(exact, rounded) / Math.sqrt(dot(exact, exact) * dot(rounded, rounded));
    expect(cosine).toBeGreaterThan(0.99);
  });

  it('is what an image is computed with after each step', async () => {
    const losses: number[] = [];
    await withModel(name, async (model) => {
      losses.push((await model.evaluate(input)).loss_sum);
      const { labelled } = await model.accumulate(input, 0);
      await model.step(labelled, STEP);
      const kept = (await model.evaluate(input)).loss_sum;
      const again = await model.accumulate(input, 0);
      expect(again.loss_sum).toBe(kept);
      losses.push(kept);
    });
    expect(losses[1]).toBeLessThan(losses[0]!);
  });
});

describe.each(ADAPTERS)('the model with the adapter %s merged into it', (name) => {
  it('has the logits of the adapted one, and changes no other tensor', async () => {
    const output = path.join(temp(), name);
    const adapter = path.join(fixtures, FOLDER, name);
    const options = { ...PLAIN_MERGE, adapters: [adapter], output };
    await mergeModel({ base: atImages('base'), ...options });
    let adapted: Float32Array | undefined;
    await withModel(name, async (model) => {
      adapted = visible(await model.logits(input), input);
    });
    await withBase(output, async (base) => {
      const model = await loadModel(base, NO_ADAPTER, { ops });
      await model.loadImages();
      const merged = visible(await model.logits(input), input);
      expect(gap(merged, adapted!)).toBeLessThanOrEqual(2e-6 * Math.max(1, largest(adapted!)));
      model.dispose();
    });
    const tensors = (place: string) => tensorsIn(path.join(place, 'model.safetensors'));
    const [before, after] = [await tensors(atImages('base')), await tensors(output)];
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    const changed = [...after].filter(([own, { data }]) => gap(data, before.get(own)!.data) > 0);
    // the merger's own tensors, which the adapter saves too, are those of the base
    expect(changed.length).toBe(expected.selected[name]!.length);
  });
});

describe('steps with and without images', () => {
  it("are PyTorch's: a tower without a gradient is passed over, and not decayed", async () => {
    const text = await chatBatch([2]);
    expect(text.placed_images ?? []).toHaveLength(0);
    await withModel('linear', async (model) => {
      for (const batch of [input, text, input]) {
        const { labelled } = await model.accumulate(batch, 0);
        await model.step(labelled, STEP);
      }
      const adapter = await model.adapter();
      const stepped = [...want].filter(([key]) => key.startsWith('stepped.'));
      expect(stepped.length).toBe(2 * adapter.modules.length);
      for (const { path: own, A, B } of adapter.modules)
        for (const [factor, data] of [
          ['A', A],
          ['B', B],
        ] as const) {
          const name = `base_model.model.${own}.lora_${factor}.weight`;
          const [, right] = stepped.find(([key]) => nameHere(key) === name)!;
          close(data, right, 3e-5, name);
        }
    });
  });

  it('go on from a saved state with the same bytes', async () => {
    const text = await chatBatch([2]);
    const train = async (model: Model, batches: readonly LabelledInput[]) => {
      for (const batch of batches) {
        const { labelled } = await model.accumulate(batch, 0);
        await model.step(labelled, STEP);
      }
    };
    const whole: Float32Array[] = [];
    let state: ReadonlyMap<string, Float32Array> = new Map();
    let half: Adapter | undefined;
    await withModel('linear', async (model) => {
      await train(model, [input, text]);
      const { tensors } = model.optimizerState();
      state = new Map(
        await Promise.all(tensors.map(async ({ name, read }) => [name, await read()] as const)),
      );
      half = await model.adapter();
      await train(model, [input]);
      whole.push(...(await model.adapter()).modules.flatMap(({ A, B }) => [A, B]));
    });
    expect([...state.keys()]).toEqual(['exp_avg', 'exp_avg_sq', 'image_steps']);
    expect([...state.get('image_steps')!]).toEqual([1]);
    await withBase(atImages('base'), async (base) => {
      const model = await loadModel(base, half!, { ops });
      await model.loadImages();
      await model.restoreOptimizer(2, (name) => Promise.resolve(state.get(name)!));
      await train(model, [input]);
      const again = (await model.adapter()).modules.flatMap(({ A, B }) => [A, B]);
      again.forEach((numbers, i) => expect([...numbers]).toEqual([...whole[i]!]));
      model.dispose();
    });
  });
});

describe('what target_modules selects in the whole model', () => {
  it.each([
    ['all-linear', 'linear'],
    [['qkv', 'proj', 'linear_fc1'], 'named'],
    [['q_proj'], 'merger'],
    ['.*visual.*\\.(qkv|linear_fc2)', '.*visual.*\\.(qkv|linear_fc2)'],
    ['.*language_model.*\\.(q_proj|v_proj)', '.*language_model.*\\.(q_proj|v_proj)'],
    [
      'model\\.visual\\.(?:merger|deepstack_merger_list\\.\\d+)\\.linear_fc[12]',
      'model\\.visual\\.(?:merger|deepstack_merger_list\\.\\d+)\\.linear_fc[12]',
    ],
  ])("is PEFT's choice for %j", (target_modules, key) =>
    withBase(atImages('base'), ({ spec }) => {
      const { matched, unmatched } = matchTargets(modulesOf(spec), { target_modules });
      const paths = matched.map((m) => m.path_in_model ?? m.path);
      expect(paths.toSorted()).toEqual(expected.selected[key]!.toSorted());
      expect(unmatched).toEqual([]);
      return Promise.resolve();
    }),
  );
});
