import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { newRecord } from '../../src/engine/run/runFolder';
import { checkpointFolder, readState } from '../../src/engine/training/checkpoint';
import type { Control } from '../../src/engine/training/control';
import { loadForTraining } from '../../src/engine/training/load';
import { TrainingLoop } from '../../src/engine/training/loop';
import type { WorkerEvent } from '../../src/engine/training/messages';
import { prepareTraining } from '../../src/engine/training/prepare';
import { AdapterProduct } from '../../src/engine/training/products/adapterProduct';
import type { LabelledInput } from '../../src/models/model';
import { parseRecipe } from '../../src/shared/recipeFile';
import type { RunRecord } from '../../src/shared/run';
import { fixtures, tensorFlowOps } from '../support/models';
import { temp } from '../support/temp';

const STEPS = 6;
const MACHINE = { hasBf16: false, hasKernels: true, multipliesBf16: false, available: 1e12 };

/** A recipe in f32 whose rows have 1 to 40 words, in batches of four of which two make a step. */
function recordOf(): RunRecord {
  const folder = temp();
  const dataset = path.join(folder, 'rows.jsonl');
  const rows = Array.from({ length: 24 }, (_, i) => ({
    prompt: `question ${i}`,
    completion: `word ${i} `.repeat(i % 4 === 0 ? 20 : 1 + (i % 3)),
  }));
  writeFileSync(dataset, rows.map((row) => JSON.stringify(row)).join('\n'));
  const recipe = {
    base: path.join(fixtures, 'llama', 'base'),
    dataset,
    validation_split: 0,
    samples: { sample_steps: 0 },
    lora: { r: 4, target_modules: 'all-linear', lora_dropout: 0 },
    training: {
      max_steps: STEPS,
      per_device_train_batch_size: 4,
      gradient_accumulation_steps: 2,
      learning_rate: 5e-3,
      base_dtype: 'float32',
      save_steps: 1000,
      seed: 3,
    },
  };
  const text = JSON.stringify(recipe);
  return newRecord(folder, {
    recipe: parseRecipe(text, path.join(folder, 'lora.json')),
    recipe_path: null,
    extension: '0.0.0',
    git_commit: null,
  });
}

interface Trained {
  readonly losses: readonly number[];
  /** Of all steps. */
  readonly gradients: readonly number[];
  /** Rows of each batch that the model got. */
  readonly rows: readonly number[];
  /** The adapter's numbers. */
  readonly weights: readonly Float32Array[];
}

interface Way {
  readonly joinsRows: boolean;
  /** The last step of this process; the run's folder is then resumed by a later call. */
  readonly stopAfter?: number;
  readonly resumeFrom?: number;
}

/** The training of a run with rows side by side or below each other. */
async function trained(record: RunRecord, run_dir: string, way: Way): Promise<Trained> {
  const prepared = await prepareTraining(record.recipe, run_dir, new Date(record.created), {
    info: () => undefined,
    warn: () => undefined,
    onData: () => undefined,
    recordedPlan: null,
    machine: MACHINE,
  });
  const { resumeFrom = null, stopAfter } = way;
  const checkpoint = resumeFrom === null ? null : checkpointFolder(run_dir, resumeFrom);
  const ops = await tensorFlowOps();
  const own = await loadForTraining(prepared, record.recipe, checkpoint, { ops });
  expect(own.joinsRows).toBe(true);
  const rows: number[] = [];
  const model = new Proxy(own, {
    get: (target, key) => {
      if (key === 'joinsRows') return way.joinsRows;
      if (key === 'accumulate')
        return (input: LabelledInput, seed: number) => {
          rows.push(input.batch);
          return target.accumulate(input, seed);
        };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const steps: { loss: number; grad_norm: number; step: number }[] = [];
  const control = {
    stopped: false,
    pausedMilliseconds: 0,
    answerRequests: () => Promise.resolve(),
    betweenOperations: () => Promise.resolve(),
  };
  const loop = new TrainingLoop({
    ...prepared,
    model,
    product: new AdapterProduct(prepared, record.recipe, own),
    compared: null,
    distilled: null,
    sampleJobs: () => [],
    answerScores: () => Promise.resolve({}),
    control: control as unknown as Control,
    recipe: record.recipe,
    run_dir,
    emit: (event: WorkerEvent) => {
      if (event.kind !== 'metric' || event.line.kind !== 'step') return;
      steps.push(event.line);
      control.stopped = event.line.step === stopAfter;
    },
    onSave: () => Promise.resolve(),
  });
  if (checkpoint !== null) loop.restore(await readState(checkpoint));
  await loop.run();
  const { modules } = await own.adapter();
  own.dispose();
  prepared.data.close();
  await prepared.base.close();
  return {
    losses: steps.map(({ loss }) => loss),
    gradients: steps.map(({ grad_norm }) => grad_norm),
    rows,
    weights: modules.flatMap(({ A, B }) => [A, B]),
  };
}

const largestGap = (a: readonly number[], b: readonly number[]) =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

it('a training with rows side by side has the losses of one with padding', async () => {
  const record = recordOf();
  const padded = await trained(record, temp(), { joinsRows: false });
  const joined = await trained(record, temp(), { joinsRows: true });
  expect(padded.rows).toEqual(Array.from({ length: 2 * STEPS }, () => 4));
  expect(joined.rows).toContain(1);
  expect(padded.losses).toHaveLength(STEPS);
  expect(padded.losses[0]! - padded.losses.at(-1)!).toBeGreaterThan(0.05);
  expect(largestGap(joined.losses, padded.losses)).toBeLessThanOrEqual(1e-5);
  expect(largestGap(joined.gradients, padded.gradients)).toBeLessThanOrEqual(1e-4);
});

it('resumed in the middle, it ends with the same bytes', async () => {
  const record = recordOf();
  const unbroken = await trained(record, temp(), { joinsRows: true });
  const folder = temp();
  const first = await trained(record, folder, { joinsRows: true, stopAfter: 3 });
  const rest = await trained(record, folder, { joinsRows: true, resumeFrom: 3 });
  expect([...first.losses, ...rest.losses]).toEqual(unbroken.losses);
  expect([...first.rows, ...rest.rows]).toEqual(unbroken.rows);
  expect(rest.weights).toEqual(unbroken.weights);
});
