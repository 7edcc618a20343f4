import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { Quantize } from '../../src/shared/trainingSettings';
import {
  cli,
  fixtures,
  makeRecipe,
  recordOf,
  resumedBefore,
  stepsOf,
  train,
  weightsOf,
} from '../support/commandLine';
import { temp } from '../support/temp';

const BASE = path.join(fixtures, 'llama-sharded/base');

/** The base with the values that its weights have when they are quantized. */
async function dequantizedBase(kind: Quantize, stored = BASE): Promise<string> {
  const folder = path.join(temp(), 'base');
  cpSync(stored, folder, { recursive: true });
  const base = await openBase(stored, { quantize: { kind, modules_to_save: null } });
  const tensors = [...base.weights.tensors.values()].map(({ name, shape }) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: async function* () {
      yield await base.weights.readF32(name);
    },
  }));
  for (const name of readdirSync(folder)) {
    if (/\.safetensors(?:\.index\.json)?$/.test(name)) rmSync(path.join(folder, name));
  }
  await writeSafetensors(path.join(folder, 'model.safetensors'), tensors);
  await base.close();
  return folder;
}

interface Settings {
  readonly training: object;
  readonly lora: object;
}

const recipeOn = (base: string, { training, lora }: Settings): string =>
  makeRecipe({
    top: { base, validation_split: 0 },
    lora: { r: 4, target_modules: 'all-linear', ...lora },
    training: { max_steps: 2, save_steps: 1, per_device_train_batch_size: 2, ...training },
  });
const lossesOf = (dir: string) => stepsOf(dir).map(({ loss, grad_norm }) => [loss, grad_norm]);

describe('a base that is quantized while it is loaded', () => {
  it.each([
    ['nf4', 'float32', { lora: { use_dora: true }, training: { gradient_checkpointing: true } }],
    ['nf4', 'float32', { lora: { init_lora_weights: 'pissa' }, training: {} }],
    ['int8', 'bfloat16', { lora: {}, training: {} }],
  ] as const)('%s in %s trains %o as its values do', async (quantize, base_dtype, settings) => {
    const training = { ...settings.training, base_dtype };
    const dir = await train(recipeOn(BASE, { ...settings, training: { ...training, quantize } }));
    expect(recordOf(dir).step_plan).toMatchObject({ base_dtype, quantized: true, quantize });
    const dense = await train(recipeOn(await dequantizedBase(quantize), { ...settings, training }));
    expect(lossesOf(dir)).toEqual(lossesOf(dense));
    expect(weightsOf(dir).equals(weightsOf(dense))).toBe(true);
    const resumed = await resumedBefore(dir, 2);
    expect(weightsOf(resumed).equals(weightsOf(dir))).toBe(true);
  });

  it('trains a mixture beside an MLP as its values do', async () => {
    const mixture = path.join(temp(), 'mixture');
    cpSync(path.join(fixtures, 'gemma4-moe/base'), mixture, { recursive: true });
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      cpSync(path.join(fixtures, 'gemma4/base', name), path.join(mixture, name));
    const settings = { lora: { target_modules: ['q_proj', 'proj', 'up_proj'] } };
    const training = { base_dtype: 'float32', gradient_checkpointing: true };
    const quantized = { ...settings, training: { ...training, quantize: 'int8' } };
    const dir = await train(recipeOn(mixture, quantized));
    expect(recordOf(dir).step_plan).toMatchObject({ quantized: true, quantize: 'int8' });
    const dense = await dequantizedBase('int8', mixture);
    const own = await train(recipeOn(dense, { ...settings, training }));
    expect(lossesOf(dir)).toEqual(lossesOf(own));
    expect(weightsOf(dir).equals(weightsOf(own))).toBe(true);
  });

  it('is evaluated as its values are', async () => {
    const dataset = path.join(temp(), 'rows.jsonl');
    writeFileSync(dataset, '{"prompt":"say one","completion":"two"}\n');
    const evaluate = async (...base: readonly string[]) => {
      const { code, stdout } = await cli('evaluate', '--dataset', dataset, '--base', ...base);
      expect(code).toBe(0);
      return stdout;
    };
    const quantized = await evaluate(BASE, '--quantize', 'nf4');
    expect(quantized).toBe(await evaluate(await dequantizedBase('nf4')));
    expect(quantized).not.toBe(await evaluate(BASE));
  });

  it('answers as its values do', async () => {
    const answer = async (...base: readonly string[]) => {
      const said = ['--prompt', 'say one', '--max-new-tokens', '8', '--base-dtype', 'float32'];
      const { code, stdout } = await cli('generate', ...said, '--base', ...base);
      expect(code).toBe(0);
      return stdout;
    };
    const quantized = await answer(BASE, '--quantize', 'nf4');
    expect(quantized.length).toBeGreaterThan(4);
    expect(quantized).toBe(await answer(await dequantizedBase('nf4')));
    expect(quantized).not.toBe(await answer(BASE));
  });

  it.each([
    [BASE, { method: 'full' }, /training.quantize.*Quantized weights do not train/s],
    [path.join(fixtures, 'gpt2/base'), {}, /layers of gpt2 cannot be quantized/],
    [path.join(fixtures, 'quantized/bnb-nf4'), {}, /quantized already/],
  ])('is refused for %s with %o', async (base, training, message) => {
    const recipe = makeRecipe({ top: { base }, training: { quantize: 'nf4', ...training } });
    const { code, stderr } = await cli('train', recipe);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
  });
});
