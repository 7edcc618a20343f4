import { describe, expect, it } from 'vitest';
import { planTeacher } from '../../../../src/engine/distillation/teacher';
import { modelSize } from '../../../../src/formats/architecture/size';
import { openBase } from '../../../../src/formats/openBase';
import { estimateMeasured, TEACHER_ROWS } from '../../../../src/lora/memory';
import type { StepMachine } from '../../../../src/lora/stepPlan';
import { parseRecipe } from '../../../../src/shared/recipeFile';
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
