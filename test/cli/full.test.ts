import { cpSync, mkdirSync, readFileSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvalLine } from '../../src/shared/metrics/lines';
import { openBase } from '../../src/formats/openBase';
import {
  cli,
  editJson,
  filesIn,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  resumedBefore,
  stepsOf,
  tempFolder,
  train,
  type RecipeChange,
} from '../support/commandLine';

const base = path.join(fixtures, 'llama/base');
const recipe = (change: RecipeChange = {}, rows?: readonly object[]) =>
  makeRecipe(
    { ...change, training: { method: 'full', learning_rate: 5e-3, ...change.training } },
    rows,
  );
const modelOf = (runDir: string) => readFileSync(path.join(runDir, 'model/model.safetensors'));
const evaluated = async (model: string, dataset: string) => {
  const { code, stdout, stderr } = await cli(
    'evaluate',
    '--base',
    model,
    '--dataset',
    dataset,
    '--json',
  );
  expect([code, stderr]).toEqual([0, '']);
  return (JSON.parse(stdout) as { loss: number }).loss;
};
const lastEval = (runDir: string) =>
  metricsOf(runDir).findLast((line): line is EvalLine => line.kind === 'eval')!;

describe('full fine-tuning', () => {
  it.each([
    ['llama', {}],
    ['gpt2', {}],
    ['qwen3', { packing: true, gradient_accumulation_steps: 2 }],
  ])(
    'of %s learns, makes a model that does the same, and goes on from a checkpoint to the same bytes',
    async (family, training) => {
      const validation = path.join(path.dirname(makeRecipe()), 'data.jsonl');
      const runDir = await train(
        recipe({ top: { base: path.join(fixtures, family, 'base'), validation }, training }),
      );
      const { result, trainable_parameters, base: trained } = recordOf(runDir);
      expect([result.model, result.adapter, trainable_parameters]).toEqual([
        'model',
        null,
        trained!.parameters,
      ]);
      expect((await cli('inspect', runDir)).stdout).toContain(
        `model ${path.join(runDir, 'model')}`,
      );
      const steps = stepsOf(runDir);
      expect(steps.at(-1)!.loss).toBeLessThan(0.7 * steps[0]!.loss);
      expect(await evaluated(path.join(runDir, 'model'), validation)).toBeCloseTo(
        lastEval(runDir).loss,
        5,
      );
      expect(filesIn(path.join(runDir, 'checkpoints/step-12'))).toEqual([
        'optimizer.safetensors',
        'state.json',
        'weights.safetensors',
      ]);
      expect(modelOf(await resumedBefore(runDir, 12, 'model')).equals(modelOf(runDir))).toBe(true);
    },
  );

  it('writes layers that the file has as one as they were trained', async () => {
    const folder = tempFolder();
    for (const name of ['grey', 'palette']) {
      mkdirSync(path.join(folder, name));
      cpSync(path.join(fixtures, 'images', `${name}.png`), path.join(folder, name, '1.png'));
    }
    const file = path.join(fixtures, 'dinov2-swiglu/base');
    const top = { task: 'image_cls', base: file, dataset: folder, validation_split: 0 };
    const training = { max_steps: 3, per_device_train_batch_size: 2 };
    const runDir = await train(recipe({ top, training }));
    const [before, after] = [await openBase(file), await openBase(path.join(runDir, 'model'))];
    const names = [...before.weights.tensors.keys()].filter((name) => /mlp.*weight$/.test(name));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names)
      expect(await after.weights.readF32(name), name).not.toEqual(
        await before.weights.readF32(name),
      );
    await Promise.all([before.close(), after.close()]);
  });

  it("of a base without a head initializes it, trains it, and writes its labels to the model's config", async () => {
    const rows = Array.from({ length: 24 }, (_, i) => ({
      text: `the ${['red', 'green', 'blue'][i % 3]!} thing ${i}`,
      label: ['red', 'green', 'blue'][i % 3]!,
    }));
    const runDir = await train(
      recipe({ top: { base: path.join(fixtures, 'bert/base'), task: 'seq_cls' } }, rows),
    );
    const model = await openBase(path.join(runDir, 'model'), { task: 'seq_cls' });
    expect([model.missing, model.config['id2label'], model.config['architectures']]).toEqual([
      [],
      { 0: 'blue', 1: 'green', 2: 'red' },
      ['BertForSequenceClassification'],
    ]);
    await model.close();
    expect(lastEval(runDir).loss).toBeLessThan(
      metricsOf(runDir).find((line): line is EvalLine => line.kind === 'eval')!.loss,
    );
  });

  it("keeps output layer and embedding tied, and the other files of the base's folder", async () => {
    const runDir = await train(recipe({ training: { max_steps: 1 } }));
    const model = await openBase(path.join(runDir, 'model'));
    expect(model.weights.tensors.has('lm_head.weight')).toBe(false);
    expect(model.config).toMatchObject({
      tie_word_embeddings: true,
      ...('torch_dtype' in model.config ? { torch_dtype: 'float32' } : { dtype: 'float32' }),
    });
    await model.close();
    expect(filesIn(path.join(runDir, 'model'))).toEqual(
      expect.arrayContaining([
        'config.json',
        'model.safetensors',
        'tokenizer.json',
        'tokenizer_config.json',
      ]),
    );
  });

  it('skips a checkpoint whose weights are incomplete', async () => {
    const runDir = await train(recipe());
    truncateSync(path.join(runDir, 'checkpoints/step-12/weights.safetensors'), 5000);
    editJson(path.join(runDir, 'run.json'), { state: 'stopped' });
    const before = modelOf(runDir);
    const { code, stderr } = await cli('train', '--resume', runDir, '--json');
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/^checkpoints\/step-12 is incomplete and is skipped: .*\n$/),
    ]);
    expect(modelOf(runDir).equals(before)).toBe(true);
  });

  it('that diverges writes no model', async () => {
    const runDir = path.join(tempFolder(), 'run');
    const { code, stderr } = await cli(
      'train',
      recipe({
        training: { learning_rate: 1e38, max_grad_norm: 0, max_steps: 3, warmup_ratio: 0 },
      }),
      '--run-dir',
      runDir,
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/the training diverged/);
    expect(filesIn(runDir)).toEqual(expect.not.arrayContaining(['model', 'best', 'checkpoints']));
  });

  it('warns that trained weights are never bfloat16', async () => {
    const runDir = await train(
      recipe({ training: { base_dtype: 'bfloat16', max_steps: 1 } }),
      /base_dtype is bfloat16, but trained weights are always float32/,
    );
    expect(recordOf(runDir).step_plan?.base_dtype).toBe('float32');
  });

  it.each([
    ['init_adapter', path.join(fixtures, 'llama/lora-qv/adapter')],
    ['frozen_adapters', [path.join(fixtures, 'llama/lora-qv/adapter')]],
  ])('has no place for %s', async (key, value) => {
    const { code, stderr } = await cli('train', recipe({ top: { base }, lora: { [key]: value } }));
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`lora\\.${key} cannot be used`));
  });
});
