import { cpSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { modelLabels } from '../../src/engine/model/labels';
import { checkpointFolder, writeCheckpoint } from '../../src/engine/training/checkpoint';
import { loadForTraining } from '../../src/engine/training/load';
import { AdapterProduct } from '../../src/engine/training/products/adapterProduct';
import type { BaseModel } from '../../src/formats/baseModel';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { LabelledInput, Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { parseRecipe } from '../../src/shared/recipeFile';
import type { StepPlan } from '../../src/shared/run';
import { featureLoss } from '../support/features';
import {
  caseInput,
  fixtures,
  inputOf,
  readFloats,
  readJson,
  tensorFlowOps,
  withBase,
  type Floats,
  type SingleCase,
} from '../support/models';
import { PEFT_CASES } from '../support/peftCases';
import { temp } from '../support/temp';

/** Encoders without a head, with a loss of their own. */
const FEATURES = ['electra-features/features', 'mpnet/features'];

interface Way {
  readonly step_plan: StepPlan;
  readonly lora_dropout: number;
  readonly neftune_noise_alpha: number | null;
}

const PLAIN: Way = {
  step_plan: { base_dtype: 'float32', recomputed_layers: 0 },
  lora_dropout: 0,
  neftune_noise_alpha: null,
};
const BF16: Way = { ...PLAIN, step_plan: { base_dtype: 'bfloat16', recomputed_layers: 1 } };
const NOISE: Way = { ...BF16, lora_dropout: 0.3 };

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

/** The recipe, the data and the start of a run that continues a case's adapter. */
async function preparedRun(name: string, base: BaseModel, way: Way) {
  const { step_plan, lora_dropout, neftune_noise_alpha } = way;
  const folder = path.join(fixtures, name, 'adapter');
  const { task } = base.spec;
  const recipe = parseRecipe(
    JSON.stringify({
      ...{ base: base.path, dataset: 'rows.jsonl', task },
      lora: { init_adapter: folder, lora_dropout },
      training: { neftune_noise_alpha },
    }),
    path.join(fixtures, 'lora.json'),
  );
  const { adapter: read } = await readPeftAdapter(folder, adapterBaseOf(base));
  // a new adapter has another order than its file, and AdamW's state and dropout depend on it
  const adapter = {
    ...read,
    modules: read.modules.toReversed(),
    trained: read.trained.toReversed(),
  };
  const data = { labels: modelLabels(base, null), has_images: false, train: { length: 1 } };
  const prepared = { base, adapter, frozen: [], baseCorrection: null, step_plan, data };
  return { recipe, prepared };
}

type Run = Awaited<ReturnType<typeof preparedRun>>;
type Batch = (model: Model, seed: number) => Promise<number>;

/** The gradients of the case's rows, of which the number of labels is returned. */
function batchOf(name: string, expected: SingleCase, want: Floats): Batch {
  if (!FEATURES.includes(name)) {
    const input: LabelledInput = caseInput(name, expected, want);
    return async (model, seed) => (await model.accumulate(input, seed)).labelled;
  }
  const input = inputOf({ ...expected.inputs, labels: expected.inputs.input_ids! });
  return (model) => featureLoss(model, input, want.get('inputs.target')!).then(() => 1);
}

interface Steps {
  readonly from: number;
  readonly to: number;
}

/** Takes the steps of a run in this process, from a checkpoint or from the start, and saves. */
async function takeSteps(run_dir: string, { recipe, prepared }: Run, batch: Batch, steps: Steps) {
  const saved = steps.from === 0 ? null : checkpointFolder(run_dir, steps.from);
  const model = await loadForTraining(prepared, recipe, saved, { ops });
  const product = new AdapterProduct(prepared, recipe, model);
  try {
    for (let step = steps.from + 1; step <= steps.to; step++) {
      await model.step(await batch(model, 100 + step), {
        learning_rate: 1e-3 * step,
        weight_decay: 0.01,
        max_grad_norm: 1,
      });
      if (step % 2 === 1) continue;
      const last = { last_loss: null, last_evaluation: null, best: null, without_improvement: 0 };
      await writeCheckpoint(run_dir, {
        state: { version: 1, step, elapsed: 0, pending: [], ...last },
        optimizer: model.optimizerState(),
        fill: (folder) =>
          product.fillCheckpoint(folder, { steps: step, last_loss: null, validation_loss: null }),
      });
    }
  } finally {
    model.dispose();
  }
}

/** The bytes of each file of a checkpoint. */
function filesOf(run_dir: string, step: number): ReadonlyMap<string, string> {
  const folder = checkpointFolder(run_dir, step);
  const names = readdirSync(folder).sort();
  return new Map(names.map((name) => [name, readFileSync(path.join(folder, name), 'base64')]));
}

async function expectSameBytes(name: string, way: Way): Promise<void> {
  const expected = readJson(name, 'expected.json') as SingleCase;
  const batch = batchOf(name, expected, await readFloats(name, 'expected.safetensors'));
  const [whole, parts] = [temp(), temp()];
  const before = ops.live();
  await withBase(path.join(fixtures, name.split('/')[0]!, 'base'), async (base) => {
    const run = await preparedRun(name, base, way);
    await takeSteps(whole, run, batch, { from: 0, to: 4 });
    cpSync(checkpointFolder(whole, 2), checkpointFolder(parts, 2), { recursive: true });
    await takeSteps(parts, run, batch, { from: 2, to: 4 });
  });
  expect(ops.live()).toBe(before);
  const [middle, want, have] = [filesOf(whole, 2), filesOf(whole, 4), filesOf(parts, 4)];
  expect([...want.keys()]).toContain('adapter_model.safetensors');
  for (const [file, bytes] of want) expect(have.get(file) === bytes, file).toBe(true);
  for (const file of ['adapter_model.safetensors', 'optimizer.safetensors'])
    expect(want.get(file) === middle.get(file), `${file} after steps 2 and 4`).toBe(false);
}

describe('two steps and two resumed ones end with the bytes of four', () => {
  it.each([...PEFT_CASES, ...FEATURES])('%s', (name) => expectSameBytes(name, PLAIN));

  it.each([
    'gpt_oss/experts',
    'gemma4-moe/experts',
    'qwen3_moe/all-linear',
    'llama3/embed',
    'modernbert/all-linear',
    'clip/qv',
  ])('%s in bf16 with a recomputed layer', (name) => expectSameBytes(name, BF16));

  it.each([
    'llama/all-linear',
    'qwen3/dora',
    'gpt_neox/bias-lora-only',
    'qwen3_5/mixed',
    'bert/seq-cls',
    'deberta-v2/seq-cls',
    'vit/conv2d',
    't5/qv',
  ])('%s in bf16 with dropout and a recomputed layer', (name) => expectSameBytes(name, NOISE));

  it('llama/all-linear with noise on the embeddings', () =>
    expectSameBytes('llama/all-linear', { ...PLAIN, neftune_noise_alpha: 5 }));
});
