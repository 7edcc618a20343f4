import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { planBundle } from '../../../../src/engine/rayTrain/planBundle';
import { preparePlan, type PreparedPlan } from '../../../../src/engine/rayTrain/preparePlan';
import { newRecord } from '../../../../src/engine/run/runFolder';
import type { Control } from '../../../../src/engine/training/control';
import { TrainingLoop } from '../../../../src/engine/training/loop';
import { prepareTraining } from '../../../../src/engine/training/prepare';
import type { Product } from '../../../../src/engine/training/products/product';
import { learningRate } from '../../../../src/engine/training/schedule';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { withSafetensors } from '../../../../src/formats/safetensors/read';
import { Adapters } from '../../../../src/models/adapters';
import type { LabelledInput, Model } from '../../../../src/models/model';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import type { RunRecord } from '../../../../src/shared/run';
import { temp } from '../../../support/temp';

const base = path.resolve(import.meta.dirname, '../../../fixtures/llama/base');

/** A recipe with rows of different lengths, and a last step with fewer batches in each epoch. */
function recordOf(folder: string, recipe: object): RunRecord {
  const rows = Array.from({ length: 23 }, (_, i) => ({
    prompt: `question ${i} `.repeat(1 + (i % 4)),
    completion: `answer ${i}`,
  }));
  const dataset = path.join(folder, 'rows.jsonl');
  writeFileSync(dataset, rows.map((row) => JSON.stringify(row)).join('\n'));
  const text = JSON.stringify({ base, dataset, samples: { sample_steps: 0 }, ...recipe });
  return newRecord(folder, {
    recipe: parseRecipe(text, path.join(folder, 'lora.json')),
    recipe_path: null,
    extension: '0.0.0',
    git_commit: null,
  });
}

const prepare = (record: RunRecord, output: string): Promise<PreparedPlan> =>
  preparePlan({
    record,
    recipe_text: null,
    workers: null,
    output,
    signal: new AbortController().signal,
    info: () => undefined,
    warn: () => undefined,
    onProgress: () => undefined,
  });

interface Row {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
  readonly position_ids: readonly number[] | null;
}

/** The rows of a batch without their padding. */
function rowsOf({ batch, length, ...columns }: LabelledInput): Row[] {
  return Array.from({ length: batch }, (_, row) => {
    const span = (all: ArrayLike<number>) =>
      Array.from(all).slice(row * length, (row + 1) * length);
    const tokens = span(columns.attention_mask).filter((mask) => mask === 1).length;
    const own = (all: ArrayLike<number>) => span(all).slice(0, tokens);
    return {
      input_ids: own(columns.input_ids),
      labels: own(columns.labels),
      position_ids: columns.position_ids ? own(columns.position_ids) : null,
    };
  });
}

/** What the local engine's loop gives its model: the rows of each step, and of an evaluation. */
async function localRows(record: RunRecord): Promise<{ steps: Row[][]; validation: Row[] }> {
  const prepared = await prepareTraining(record.recipe, temp(), new Date(record.created), {
    info: () => undefined,
    warn: () => undefined,
    onData: () => undefined,
    recordedPlan: null,
    machine: { hasBf16: false, hasKernels: false, multipliesBf16: false, available: 1e12 },
  });
  const steps: Row[][] = [];
  let current: Row[] = [];
  let evaluated: Row[] = [];
  const model = {
    accumulate: (input: LabelledInput) => {
      current.push(...rowsOf(input));
      return Promise.resolve({ loss_sum: 1, labelled: 1, weight: 1 });
    },
    step: () => {
      steps.push(current);
      current = [];
      evaluated = [];
      return Promise.resolve({ grad_norm: 1 });
    },
    evaluate: (input: LabelledInput) => {
      evaluated.push(...rowsOf(input));
      return Promise.resolve({ loss_sum: 1, labelled: 1, weight: 1, outputs: null });
    },
    optimizerState: () => ({ step: 1, tensors: [] }),
  } as unknown as Model;
  const product: Product = {
    kind: 'adapter',
    findNonFinite: () => Promise.resolve(null),
    fillCheckpoint: () => Promise.resolve(),
    write: () => Promise.resolve(),
  };
  const control = {
    stopped: false,
    pausedMilliseconds: 0,
    answerRequests: () => Promise.resolve(),
    betweenOperations: () => Promise.resolve(),
  } as unknown as Control;
  const { recipe } = record;
  const others = {
    model,
    product,
    compared: null,
    distilled: null,
    sampleJobs: () => [],
    answerScores: () => Promise.resolve({}),
    control,
    recipe,
    run_dir: temp(),
    emit: () => undefined,
  };
  await new TrainingLoop({ ...prepared, ...others, onSave: () => Promise.resolve() }).run();
  prepared.data.close();
  await prepared.base.close();
  return { steps, validation: evaluated };
}

/** The rows in examples.safetensors. */
async function plannedRows(folder: string): Promise<{ steps: Row[][]; validation: Row[] }> {
  return withSafetensors(path.join(folder, 'examples.safetensors'), async (file) => {
    const part = async (name: string) => {
      const offsets = [...(await file.readInts(`${name}.offsets`))];
      const column = async (own: string) =>
        file.tensors.has(`${name}.${own}`) ? [...(await file.readInts(`${name}.${own}`))] : null;
      const [input_ids, labels, position_ids] = [
        await column('input_ids'),
        await column('labels'),
        await column('position_ids'),
      ];
      return offsets.slice(1).map((end, row): Row => ({
        input_ids: input_ids!.slice(offsets[row], end),
        labels: labels!.slice(offsets[row], end),
        position_ids: position_ids?.slice(offsets[row], end) ?? null,
      }));
    };
    const train = await part('train');
    const rows = [...(await file.readInts('steps.rows'))];
    const starts = [...(await file.readInts('steps.offsets'))];
    const steps = starts
      .slice(1)
      .map((end, step) => rows.slice(starts[step], end).map((row) => train[row]!));
    return { steps, validation: await part('validation') };
  });
}

describe('the examples of each step are those of the local engine', () => {
  it.each([
    ['shuffled', { training: { num_train_epochs: 2, per_device_train_batch_size: 3 } }],
    [
      'accumulated over uneven epochs',
      {
        validation_split: 0.3,
        training: {
          max_steps: 11,
          per_device_train_batch_size: 2,
          gradient_accumulation_steps: 3,
          shuffle: false,
        },
      },
    ],
    [
      'packed',
      {
        labels: 'all',
        training: { packing: true, max_length: 96, max_steps: 5, per_device_train_batch_size: 2 },
      },
    ],
  ])('%s', async (_, recipe) => {
    const record = recordOf(temp(), recipe);
    const folder = path.join(temp(), 'plan');
    await prepare(record, folder);
    const planned = await plannedRows(folder);
    const local = await localRows(record);
    expect(local.steps.flat().length).toBeGreaterThan(8);
    expect(planned).toEqual(local);
  });
});

it('a plan has the learning rates, the adapter of the local start, and the hashes of all files', async () => {
  const lora = { use_dora: true, r: 2, target_modules: ['q_proj', 'v_proj'] };
  const training = { max_steps: 9, warmup_steps: 2, seed: 5, loraplus_lr_ratio: 4 };
  const record = recordOf(temp(), { lora, training });
  const folder = path.join(temp(), 'plan');
  const { plan, sha256 } = await prepare(record, folder);
  const text = readFileSync(path.join(folder, 'plan.json'));
  expect(createHash('sha256').update(text).digest('hex')).toBe(sha256);
  expect(JSON.parse(text.toString())).toEqual(plan);
  for (const { file, size, sha256: hash } of [...plan.files, ...plan.base]) {
    const inPlan = path.join(folder, file);
    const bytes = readFileSync(existsSync(inPlan) ? inPlan : path.join(base, file));
    expect([size, hash]).toEqual([bytes.length, createHash('sha256').update(bytes).digest('hex')]);
  }
  expect(plan.base.map(({ file }) => file)).toEqual(['config.json', 'model.safetensors']);
  expect(plan.run).toMatchObject({ total_steps: 9, state: 'preparing', id: record.id });
  await withSafetensors(path.join(folder, 'examples.safetensors'), async (file) => {
    const rates = await file.readF32('steps.learning_rate');
    const expected = rates.map((_, i) => learningRate(record.recipe.training, i + 1, 9));
    expect(rates).toEqual(expected);
  });
  const { adapter } = await readPeftAdapter(path.join(folder, 'start'));
  const { parameters } = new Adapters(adapter);
  expect(plan.parameters.map(({ name }) => name).sort()).toEqual(
    parameters.all.map(({ name }) => name).sort(),
  );
  expect(plan.run.trainable_parameters).toBe(parameters.theta.length);
  const ratios = plan.parameters.map(({ name, lr_ratio }) => [name.includes('lora_B'), lr_ratio]);
  expect(ratios.filter(([isB]) => isB === true).every(([, ratio]) => ratio === 4)).toBe(true);
  expect(ratios.filter(([isB]) => isB === false).every(([, ratio]) => ratio === 1)).toBe(true);
});

const { signal } = new AbortController();

it('a job gets the trainer, the plan and the base, unless the target has it', async () => {
  const folder = path.join(temp(), 'plan');
  const prepared = await prepare(recordOf(temp(), { training: { max_steps: 1 } }), folder);
  const dist = temp();
  const python = path.resolve(import.meta.dirname, '../../../../engine/ray');
  cpSync(python, path.join(dist, 'ray'), { recursive: true });
  const sent = await planBundle(prepared, { folder, dist, bases: {}, signal });
  expect(sent.items.map(({ label }) => label)).toEqual(['engine', 'plan', 'base']);
  const [engine, plan, own] = sent.items;
  expect(sent.engine).toBe(engine!.id);
  expect(sent.trainer).toEqual({
    plan: plan!.id,
    sha256: prepared.sha256,
    base: `../../items/${own!.id}`,
  });
  for (const { source, size, sha256 } of sent.items.flatMap(({ files }) => files)) {
    const bytes = readFileSync(source);
    expect([size, sha256]).toEqual([
      bytes.length,
      createHash('sha256').update(bytes).digest('hex'),
    ]);
  }
  const known = await planBundle(prepared, {
    folder,
    dist,
    bases: { base: '/models/base' },
    signal,
  });
  expect(known.items.map(({ label }) => label)).toEqual(['engine', 'plan']);
  expect(known.trainer.base).toBe('/models/base');
});

it('nothing is written for a recipe that is refused', async () => {
  const record = recordOf(temp(), { training: { method: 'full' } });
  const folder = path.join(temp(), 'plan');
  await expect(prepare(record, folder)).rejects.toThrow('Ray Train trains adapters only.');
  expect(existsSync(folder)).toBe(false);
});
