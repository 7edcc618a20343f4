import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { planTeacher } from '../../../../src/engine/distillation/teacher';
import { modelSize } from '../../../../src/formats/architecture/size';
import { openBase } from '../../../../src/formats/openBase';
import { estimateMeasured, TEACHER_ROWS } from '../../../../src/lora/memory';
import type { StepMachine } from '../../../../src/lora/stepPlan';
import { LoraError } from '../../../../src/shared/errors';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { atImages } from '../../../support/chatImages';
import { smollm2Path } from '../../../support/realModels';
import { temp } from '../../../support/temp';

const LENGTH = 16;
const part = { longest: LENGTH, sequences: 1, labelled_tokens: 100 };
const step_plan = { base_dtype: 'float32', recomputed_layers: 0 } as const;

describe('the teacher in memory', () => {
  const plan = async (base_dtype: string, machine: Partial<StepMachine>) => {
    const file = await smollm2Path();
    const objective = { method: 'distill', teacher: file };
    const text = JSON.stringify({ base: file, dataset: 'd', objective, training: { base_dtype } });
    const base = await openBase(file, { task: 'causal_lm' });
    const info: string[] = [];
    try {
      const runDir = temp();
      const data = { train: { length: 1 }, statistics: { train: part, validation: part } };
      const recipe = parseRecipe(text, '/lora.json');
      const plan = await planTeacher({ recipe, base, data, runDir }, step_plan, {
        info: (line) => info.push(line),
        machine: {
          hasBf16: true,
          hasKernels: true,
          multipliesBf16: false,
          available: 1e12,
          ...machine,
        },
      });
      return { form: plan!.form, info, size: modelSize(base) };
    } finally {
      await base.close();
    }
  };

  it('is kept in its blocks if asked, or if nothing else fits', async () => {
    const blocks = { base_dtype: 'float32', quantized: true };
    const { form, info, size } = await plan('quantized', {});
    expect(form).toEqual(blocks);
    expect(info.join()).toContain('is kept in the blocks of its file before training');
    expect((await plan('auto', {})).form).toEqual({ base_dtype: 'float32' });
    expect((await plan('quantized', { hasKernels: false })).form).toEqual({
      base_dtype: 'float32',
    });
    const batch = { rows: TEACHER_ROWS, length: LENGTH };
    const needed = (base_dtype: 'float32' | 'bfloat16', quantized: boolean) =>
      estimateMeasured(size, batch, { base_dtype, quantized }).total;
    expect(needed('float32', true)).toBeLessThan(needed('float32', false));
    const without = { hasBf16: false, available: needed('float32', true) };
    expect((await plan('auto', without)).form).toEqual(blocks);
    await expect(plan('auto', { available: 1e8 })).rejects.toThrow(/The teacher needs about/);
  });
});

/** What a plan says where the rows have images, and a teacher in place of the base. */
async function faultOfTeacher(change: (folder: string) => void): Promise<string> {
  const folder = path.join(temp(), 'teacher');
  cpSync(atImages('base'), folder, { recursive: true });
  change(folder);
  const objective = { method: 'distill', teacher: folder };
  const text = JSON.stringify({ base: atImages('base'), dataset: 'd', objective });
  const base = await openBase(atImages('base'), { task: 'causal_lm' });
  const own = { ...part, images: { largest: 64, tokens: 16 } };
  const data = { train: { length: 1 }, statistics: { train: own, validation: own } };
  const inputs = { recipe: parseRecipe(text, '/lora.json'), base, data, runDir: temp() };
  const machine = { hasBf16: true, hasKernels: true, multipliesBf16: false, available: 1e12 };
  try {
    await planTeacher(inputs, step_plan, { info: () => undefined, machine });
    return '';
  } catch (error) {
    return LoraError.from(error, 'base').message;
  } finally {
    await base.close();
  }
}

it('must read the images of rows as the base does', async () => {
  expect(await faultOfTeacher(() => undefined)).toBe('');
  const settings = (folder: string) => path.join(folder, 'preprocessor_config.json');
  const edited = (folder: string, own: object) => {
    const known = JSON.parse(readFileSync(settings(folder), 'utf8')) as object;
    writeFileSync(settings(folder), JSON.stringify({ ...known, ...own }));
  };
  expect(await faultOfTeacher((folder) => edited(folder, { image_mean: [0.5, 0.5, 0.5] }))).toBe(
    'The teacher reads images otherwise than the base: its image_mean is [0.5,0.5,0.5], and not [0.5,0.4,0.6].',
  );
  expect(await faultOfTeacher((folder) => edited(folder, { max_pixels: 4096 }))).toContain(
    'its max_pixels is 4096, and not 2048',
  );
  expect(await faultOfTeacher((folder) => rmSync(settings(folder)))).toContain(
    "The model's image settings are missing",
  );
  const textOnly = (folder: string) => {
    const config = path.join(folder, 'config.json');
    const known = JSON.parse(readFileSync(config, 'utf8')) as object;
    writeFileSync(config, JSON.stringify({ ...known, vision_config: undefined }));
  };
  expect(await faultOfTeacher(textOnly)).toMatch(/teacher cannot read: images in chats are not/);
});

it('counts rows of a table that train with all of its numbers', async () => {
  const base = await openBase(await smollm2Path());
  try {
    const name = 'model.embed_tokens.weight';
    const [rows, width] = base.weights.tensors.get(name)!.shape as [number, number];
    const { row_bytes } = base.weights.blocksOf!(name)!;
    const quantized = modelSize(base).quantized_bytes!;
    expect(modelSize(base, [name]).quantized_bytes).toBe(
      quantized + rows * (4 * width - row_bytes),
    );
  } finally {
    await base.close();
  }
});
