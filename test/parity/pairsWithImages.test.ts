import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { ExampleStore } from '../../src/data/examples/exampleStore';
import { Comparisons, type ComparedPart } from '../../src/engine/comparisons/comparisons';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { objectiveOf, type Objective } from '../../src/shared/objective';
import { RecipeSchema } from '../../src/shared/recipe';
import * as v from 'valibot';
import { atImages, withChats, withImageModel } from '../support/chatImages';
import { fixtures, gap, largest, readFloats, readJson, tensorFlowOps } from '../support/models';

const FOLDER = 'qwen3-vl-pairs';
const PAIRS = path.join(fixtures, FOLDER, 'pairs.jsonl');
const DPO = { objective: { method: 'dpo' }, training: { max_length: 128 } };
const expected = readJson(FOLDER, 'expected.json') as {
  readonly loss: number;
  readonly policy: readonly (readonly number[])[];
  readonly reference: readonly (readonly number[])[];
};

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const objective = (): Objective =>
  objectiveOf(v.parse(RecipeSchema, { base: 'a', dataset: 'b', ...DPO }))!;

/** The pairs as a training compares them, and the model with an adapter (null: none). */
const withPairs = (
  adapter: string | null,
  use: (comparisons: Comparisons, part: Omit<ComparedPart, 'references'>) => Promise<void>,
) =>
  withChats(
    PAIRS,
    ({ train, collate, has_images }) =>
      withImageModel(
        adapter,
        async (model) => {
          expect(has_images).toBe(true);
          const parts = { model, objective: objective(), collate, max_length: 128 };
          await use(new Comparisons(parts), { examples: train, batches: [[0, 1, 2]] });
        },
        { ops },
      ),
    DPO,
  );

const closeTo = (have: Float64Array, want: readonly (readonly number[])[]) => {
  const flat = want.flat();
  expect(have.length).toBe(flat.length);
  flat.forEach((right, i) =>
    expect(Math.abs(have[i]! - right)).toBeLessThanOrEqual(1e-5 * Math.abs(right)),
  );
};

it("measures pairs with images as transformers does, under the base and PEFT's adapter", async () => {
  await withPairs(null, async (comparisons, part) => {
    closeTo((await comparisons.measure(part)).answers, expected.reference);
  });
  await withPairs(atImages('adapter'), async (comparisons, part) => {
    closeTo((await comparisons.measure(part)).answers, expected.policy);
  });
});

it("has DPO's loss and gradients, and frees all tensors", async () => {
  const before = ops.live();
  const want = await readFloats(FOLDER, 'expected.safetensors');
  const answers = Float64Array.from(expected.reference.flat());
  await withChats(
    PAIRS,
    ({ train, collate }) =>
      withImageModel(
        atImages('adapter'),
        async (model) => {
          const comparisons = new Comparisons({
            model,
            objective: objective(),
            collate,
            max_length: 128,
          });
          const references = { answers, mismatched: null };
          const part = { examples: train, batches: [[0, 1, 2]], references };
          const input = await comparisons.batch(part, [0, 1, 2]);
          expect(input.placed_images).toHaveLength(6);
          const { loss_sum, labelled } = await model.accumulate(input, 0);
          expect(Math.abs(loss_sum / labelled - expected.loss)).toBeLessThanOrEqual(
            1e-5 * expected.loss,
          );
          const gradients = await model.gradients(labelled);
          const named = [...want].filter(([key]) => key.startsWith('grad.'));
          expect(gradients.size).toBe(named.length);
          for (const [key, data] of named) {
            const name = key.slice('grad.'.length).replace('.model.language_model.', '.model.');
            expect(largest(data), key).toBeGreaterThan(0);
            expect(gap(gradients.get(name)!.data, data), key).toBeLessThanOrEqual(
              1e-4 * Math.max(1e-2, largest(data)),
            );
          }
        },
        { ops },
      ),
    DPO,
  );
  expect(ops.live()).toBe(before);
});

it('keeps the images of pairs in the store of examples', () =>
  withChats(
    PAIRS,
    ({ train }) => {
      const store = new ExampleStore(path.join(fixtures, 'none.tmp'));
      const examples = [0, 1, 2].map((i) => train.at(i));
      for (const example of examples) if (example.kind === 'preference') store.add(example);
      expect([0, 1, 2].map((i) => store.at(i))).toEqual(examples);
      const [first] = examples;
      expect(first?.kind === 'preference' && first.rejected.images).toHaveLength(1);
      store.close();
      return Promise.resolve();
    },
    DPO,
  ));
