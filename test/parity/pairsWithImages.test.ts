import path from 'node:path';
import * as v from 'valibot';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PreparedData } from '../../src/data/dataset/prepare';
import type { Example } from '../../src/data/examples/example';
import { ExampleStore } from '../../src/data/examples/exampleStore';
import { Comparisons, type ComparedPart } from '../../src/engine/comparisons/comparisons';
import type { LabelledInput, Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { hasReference, objectiveOf } from '../../src/shared/objective';
import { RecipeSchema } from '../../src/shared/recipe';
import { atImages, withChats, withImageModel } from '../support/chatImages';
import { fixtures, gap, largest, readFloats, readJson, tensorFlowOps } from '../support/models';

const FOLDER = 'qwen3-vl-pairs';
const at = (name: string): string => path.join(fixtures, FOLDER, name);
const PAIRS = at('pairs.jsonl');
const PAIR_METHODS = ['dpo', 'orpo', 'cpo', 'simpo'];
const MAX_LENGTH = 128;
interface Expected {
  readonly losses: Readonly<Record<string, number>>;
  readonly policy: readonly (readonly number[])[];
  readonly reference: readonly (readonly number[])[];
  readonly kto: {
    readonly kl: number;
    readonly policy: readonly number[];
    readonly reference: readonly number[];
    readonly mismatched: Readonly<Record<'policy' | 'reference', readonly number[]>>;
  };
  readonly distill: {
    readonly temperature: number;
    readonly kd_ratio: number;
    readonly top_k: number;
    readonly kl: number;
  };
}
const expected = readJson(FOLDER, 'expected.json') as Expected;

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const recipeOf = (method: string) => ({
  objective: { method },
  training: { max_length: MAX_LENGTH },
});

/** The rows as a training compares them, and the model with an adapter (null: none). */
const withRows = (
  method: string,
  adapter: string | null,
  use: (
    comparisons: Comparisons,
    part: Omit<ComparedPart, 'references'>,
    model: Model,
  ) => Promise<void>,
) =>
  withChats(
    method === 'kto' ? at('unpaired.jsonl') : PAIRS,
    ({ train, collate, has_images }) =>
      withImageModel(
        adapter,
        async (model) => {
          expect(has_images).toBe(true);
          const recipe = v.parse(RecipeSchema, { base: 'a', dataset: 'b', ...recipeOf(method) });
          const objective = objectiveOf(recipe)!;
          const comparisons = new Comparisons({
            model,
            objective,
            collate,
            max_length: MAX_LENGTH,
          });
          await use(comparisons, { examples: train, batches: [[0, 1, 2]] }, model);
        },
        { ops },
      ),
    recipeOf(method),
  );

const closeTo = (have: Float64Array, want: readonly number[]) => {
  expect(have.length).toBe(want.length);
  want.forEach((right, i) =>
    expect(Math.abs(have[i]! - right)).toBeLessThanOrEqual(1e-5 * Math.abs(right)),
  );
};

/** The loss and the gradients of all rows as one batch. */
async function expectLoss(method: string, model: Model, input: LabelledInput): Promise<void> {
  const want = await readFloats(FOLDER, 'expected.safetensors');
  const { loss_sum, labelled } = await model.accumulate(input, 0);
  const loss = expected.losses[method]!;
  expect(Math.abs(loss_sum / labelled - loss), method).toBeLessThanOrEqual(1e-5 * loss);
  const gradients = await model.gradients(labelled);
  const start = `${method}.grad.`;
  const named = [...want].filter(([key]) => key.startsWith(start));
  expect(gradients.size).toBe(named.length);
  for (const [key, data] of named) {
    const name = key.slice(start.length).replace('.model.language_model.', '.model.');
    expect(largest(data), key).toBeGreaterThan(0);
    expect(gap(gradients.get(name)!.data, data), key).toBeLessThanOrEqual(
      1e-4 * Math.max(1e-2, largest(data)),
    );
  }
}

it("measures pairs with images as transformers does, under the base and PEFT's adapter", async () => {
  await withRows('dpo', null, async (comparisons, part) => {
    closeTo((await comparisons.measure(part)).answers, expected.reference.flat());
  });
  await withRows('dpo', atImages('adapter'), async (comparisons, part) => {
    closeTo((await comparisons.measure(part)).answers, expected.policy.flat());
  });
});

it("measures KTO's answers, and each prompt with the answer of the row before it", async () => {
  const { policy, reference, mismatched } = expected.kto;
  await withRows('kto', null, async (comparisons, part) => {
    const measured = await comparisons.measure(part);
    closeTo(measured.answers, reference);
    closeTo(measured.mismatched!, mismatched.reference);
  });
  await withRows('kto', atImages('adapter'), async (comparisons, part) => {
    const measured = await comparisons.measure(part);
    closeTo(measured.answers, policy);
    closeTo(measured.mismatched!, mismatched.policy);
  });
});

describe.each([...PAIR_METHODS, 'kto'])('%s', (method) => {
  it("has TRL's loss and gradients, and frees all tensors", async () => {
    const before = ops.live();
    await withRows(method, atImages('adapter'), async (comparisons, part, model) => {
      const isUnpaired = method === 'kto';
      const { reference, mismatched } = expected.kto;
      const references = hasReference(comparisons.objective)
        ? {
            answers: Float64Array.from(isUnpaired ? reference : expected.reference.flat()),
            mismatched: isUnpaired ? Float64Array.from(mismatched.reference) : null,
          }
        : null;
      const input = await comparisons.batch({ ...part, references }, [0, 1, 2]);
      expect(input.placed_images).toHaveLength(isUnpaired ? 3 : 6);
      const { comparison } = input;
      if (comparison?.kind === 'unpaired') {
        expect(expected.kto.kl).toBeGreaterThan(0);
        expect(Math.abs(comparison.kl - expected.kto.kl)).toBeLessThanOrEqual(1e-4);
      }
      await expectLoss(method, model, input);
    });
    expect(ops.live()).toBe(before);
  });
});

it("has a teacher's loss and gradients, and frees all tensors", async () => {
  const before = ops.live();
  const { kl, ...settings } = expected.distill;
  await withChats(at('chats.jsonl'), async ({ train, collate }) => {
    const batch = () => collate([0, 1, 2].map((i) => train.at(i)));
    let teacher: LabelledInput['teacher'];
    await withImageModel(
      null,
      async (model) => {
        teacher = { ...settings, ...(await model.topTokens(await batch(), settings)) };
      },
      { ops },
    );
    await withImageModel(
      atImages('adapter'),
      async (model) => {
        const input = { ...(await batch()), teacher: teacher! };
        const { divergence_sum, labelled } = await model.evaluate(input);
        expect(Math.abs(divergence_sum! / labelled - kl)).toBeLessThanOrEqual(1e-4 * kl);
        await expectLoss('distill', model, input);
      },
      { ops },
    );
  });
  expect(ops.live()).toBe(before);
});

it.each([
  ['pairs', 'dpo', PAIRS],
  ['answers with a label', 'kto', at('unpaired.jsonl')],
])('keeps the images of %s in the store of examples', (_, method, file) =>
  withChats(
    file,
    ({ train }: PreparedData) => {
      const store = new ExampleStore(path.join(fixtures, 'none.tmp'));
      const examples = [0, 1, 2].map((i) => train.at(i));
      for (const example of examples)
        if (example.kind === 'preference' || example.kind === 'unpaired') store.add(example);
      expect([0, 1, 2].map((i) => store.at(i))).toEqual(examples);
      expect(imagesIn(examples[0]!)).toHaveLength(1);
      store.close();
      return Promise.resolve();
    },
    recipeOf(method),
  ),
);

function imagesIn(example: Example) {
  if (example.kind === 'preference') return example.rejected.images;
  return example.kind === 'unpaired' ? example.answer.images : undefined;
}
