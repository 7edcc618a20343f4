import path from 'node:path';
import * as v from 'valibot';
import { beforeAll, describe, expect, it } from 'vitest';
import { mergeModel } from '../../src/engine/merge/mergeModel';
import { startAdapter, type StartingAdapters } from '../../src/engine/training/startAdapter';
import { modulesOf } from '../../src/formats/architecture/modules';
import type { BaseModel } from '../../src/formats/baseModel';
import { matchTargets } from '../../src/lora/targets';
import { loadModel } from '../../src/models/loadModel';
import type { LabelledInput, Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { RecipeSchema } from '../../src/shared/recipe';
import { atImages, chatBatch, withImageModel } from '../support/chatImages';
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

const FOLDER = 'qwen3-vl-variants';
const { losses } = readJson(FOLDER, 'expected.json') as {
  readonly losses: Readonly<Record<string, number>>;
};
const LINEAR = ['qkv', 'attn.proj', 'linear_fc1', 'linear_fc2'];

let ops: TensorFlowOps;
let want: Floats;
let input: LabelledInput;

beforeAll(async () => {
  ops = await tensorFlowOps();
  want = await readFloats(FOLDER, 'expected.safetensors');
  input = await chatBatch();
});

const withModel = (name: string, use: (model: Model) => Promise<void>) =>
  withImageModel(path.join(fixtures, FOLDER, name), use, { ops });

/** The name that a tensor of PEFT's has here. */
const nameHere = (key: string): string =>
  key
    .slice(key.indexOf('base_model'))
    .replace('.model.language_model.', '.model.')
    .replace('magnitude_vector.weight', 'magnitude_vector');

const close = (have: Float32Array, values: Float32Array, tolerance: number, name: string) => {
  expect(have.length, name).toBe(values.length);
  expect(gap(have, values), name).toBeLessThanOrEqual(tolerance * Math.max(1e-2, largest(values)));
};

describe.each(['dora', 'rslora'])('%s on the tower for images', (name) => {
  it("has PEFT's logits, loss and gradients, and frees all tensors", async () => {
    const before = ops.live();
    await withModel(name, async (model) => {
      const logits = visible(await model.logits(input), input);
      const right = want.get(`${name}.logits`)!;
      const first = input.attention_mask.subarray(0, input.length).reduce((sum, n) => sum + n, 0);
      const own = logits.subarray(0, first * 388);
      close(own, right.subarray(0, own.length), 5e-5, 'logits');
      const trained = await model.accumulate(input, 0);
      expect(Math.abs(trained.loss_sum / trained.labelled - losses[name]!)).toBeLessThanOrEqual(
        1e-5 * losses[name]!,
      );
      const gradients = await model.gradients(trained.labelled);
      const named = [...want].filter(([key]) => key.startsWith(`${name}.grad.`));
      expect(gradients.size).toBe(named.length);
      for (const [key, data] of named) {
        expect(largest(data), key).toBeGreaterThan(0);
        close(gradients.get(nameHere(key))!.data, data, 1e-4, key);
      }
    });
    expect(ops.live()).toBe(before);
  });

  it('has the same logits once it is merged', async () => {
    const output = path.join(temp(), name);
    const adapter = path.join(fixtures, FOLDER, name);
    await mergeModel({ base: atImages('base'), ...PLAIN_MERGE, adapters: [adapter], output });
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
  });
});

/** A new adapter on the tower, as a training begins with it. */
async function started(
  lora: object,
  use: (start: StartingAdapters, base: BaseModel) => Promise<void>,
): Promise<void> {
  const recipe = v.parse(RecipeSchema, { base: atImages('base'), dataset: 'a.jsonl', lora });
  await withBase(atImages('base'), async (base) => {
    const { matched } = matchTargets(modulesOf(base.spec), recipe.lora);
    await use(await startAdapter(base, matched, recipe), base);
  });
}

describe.each(['pissa', 'olora'])('%s on the tower for images', (init_lora_weights) => {
  it("starts with PEFT's updates, and leaves the base's loss as it is", () =>
    started(
      { r: 3, lora_alpha: 5, init_lora_weights, target_modules: LINEAR },
      async ({ adapter, baseCorrection }, base) => {
        const named = [...want].filter(([key]) => key.startsWith(`${init_lora_weights}.update.`));
        expect(adapter.modules.length).toBe(named.length);
        for (const [key, data] of named) {
          const own = adapter.modules.find((m) => key.endsWith(m.path))!;
          const { A, B, r, in_features, out_features, scaling: s } = own;
          const update = Float32Array.from({ length: out_features * in_features }, (_, at) => {
            const [o, i] = [Math.floor(at / in_features), at % in_features];
            let sum = 0;
            for (let k = 0; k < r; k++) sum += B[o * r + k]! * A[k * in_features + i]!;
            return s * sum;
          });
          close(update, data, 1e-4, key);
        }
        const model = await loadModel(base, adapter, { ops, below: [baseCorrection!] });
        await model.loadImages();
        const { loss_sum, labelled } = await model.evaluate(input);
        expect(Math.abs(loss_sum / labelled - losses[init_lora_weights]!)).toBeLessThanOrEqual(
          1e-5 * losses[init_lora_weights]!,
        );
        model.dispose();
      },
    ));
});

it("a new DoRA adapter has PEFT's magnitudes, also of the convolution of patches", () =>
  started(
    {
      r: 2,
      use_dora: true,
      target_modules: ['qkv', 'proj', 'linear_fc1', 'linear_fc2', 'q_proj'],
    },
    ({ adapter }) => {
      const named = [...want].filter(([key]) => key.startsWith('dora.start.'));
      expect(adapter.modules.length).toBe(named.length);
      for (const [key, data] of named) {
        const own = adapter.modules.find(({ path: at }) => nameHere(key).includes(`.${at}.lora_`));
        close(own!.magnitude!, data, 1e-6, key);
      }
      return Promise.resolve();
    },
  ));
