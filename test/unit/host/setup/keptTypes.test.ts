import { describe, expect, it } from 'vitest';
import { costOf, factsOf } from '../../../../src/host/setup/costs';
import { keptChoices, neededType, type KeptType } from '../../../../src/host/setup/keptTypes';
import { recipeText } from '../../../../src/host/setup/writeRecipe';
import { readBaseHeaders } from '../../../../src/inspect/answer';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { known } from '../../../support/known';
import type { MemoryFit, TypeMemory } from '../../../../src/shared/stepMemory';

const types = (fits: Partial<Record<TypeMemory['base_dtype'], MemoryFit>>): TypeMemory[] =>
  Object.entries(fits).map(([base_dtype, fit]) => ({
    base_dtype: base_dtype as TypeMemory['base_dtype'],
    bytes: 1,
    recomputed_bytes: 1,
    fit,
  }));
const offered = (...own: Parameters<typeof types>) =>
  keptChoices(types(...own)).map(({ kept }) => kept);

describe('how the base is kept', () => {
  it('is not asked where a type fits that is chosen by itself', () => {
    expect(offered({ float32: 'exceeds', bfloat16: 'fits', nf4: 'fits' })).toEqual([]);
    expect(neededType(types({ float32: 'fits', nf4: 'fits' }))).toBe('auto');
  });

  it('is offered where it fits better, and needed where nothing else fits', () => {
    const tight = {
      float32: 'exceeds',
      bfloat16: 'recomputed',
      int8: 'fits',
      nf4: 'fits',
    } as const;
    expect(offered(tight)).toEqual(['int8', 'nf4']);
    expect(neededType(types(tight))).toBe('auto');
    const over = { float32: 'exceeds', bfloat16: 'exceeds', int8: 'exceeds', nf4: 'recomputed' };
    expect(offered(over as typeof tight)).toEqual(['nf4']);
    expect(neededType(types(over as typeof tight))).toBe('nf4');
    expect(neededType(types({ float32: 'exceeds', nf4: 'exceeds' }))).toBe('auto');
    expect(neededType([])).toBe('auto');
  });

  it('follows the memory of a base of 8 billion numbers', async () => {
    const base = factsOf(await readBaseHeaders('test/fixtures/llama/base'));
    const quantizable = {
      nf4: { quantized_bytes: 4.5e9, dense_numbers: 0 },
      int8: { quantized_bytes: 8.1e9, dense_numbers: 0 },
    };
    const large = { ...base, size: { ...known(base.size), parameters: 8e9, quantizable } };
    const neededIn = (available: number) =>
      neededType(
        costOf(large, 4, 'all-linear', {
          hasBf16: true,
          hasKernels: true,
          multipliesBf16: true,
          available,
        }).types,
      );
    expect([24e9, 12e9, 7e9, 2e9].map(neededIn)).toEqual(['auto', 'int8', 'nf4', 'auto']);
  });

  it('is written into the recipe', () => {
    const answers = {
      task: 'causal_lm',
      base: '/models/tiny',
      dataset: { path: '/w/a.jsonl' },
      columns: {},
      replay: null,
      validation: null,
      r: 4,
      target_modules: 'all-linear',
    } as const;
    const training = (kept: KeptType) =>
      parseRecipe(recipeText({ ...answers, kept }, '/w'), '/w/lora.json').training;
    expect(training('nf4')).toMatchObject({ quantize: 'nf4', base_dtype: 'auto' });
    expect(training('int8').quantize).toBe('int8');
    expect(training('quantized')).toMatchObject({ quantize: null, base_dtype: 'quantized' });
    expect(training('auto')).toMatchObject({ quantize: null, base_dtype: 'auto' });
  });
});
