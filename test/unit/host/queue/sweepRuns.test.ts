import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { newSweep, parseRanks, suggestedValues } from '../../../../src/host/queue/sweepRuns';
import { sweepName, sweepOf } from '../../../../src/shared/sweep/places';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { temp } from '../../../support/temp';

describe('a sweep of ranks', () => {
  it('parses a list of ranks, sorted and without duplicates', () => {
    expect(parseRanks('4, 1 2;2')).toEqual([1, 2, 4]);
    for (const text of [
      '',
      '0',
      '1.5',
      'r',
      '2048',
      Array.from({ length: 17 }, (_, i) => i + 1).join(),
    ])
      expect(parseRanks(text), text).toBeUndefined();
  });

  it('writes a recipe for each rank with the same scaling factor and valid paths', async () => {
    const folder = temp();
    const file = path.join(folder, 'git.lora.json');
    const recipe = parseRecipe(
      '{ "base": "models/tiny", "dataset": "d.jsonl", "lora": { "r": 8, "lora_alpha": 16 } }',
      file,
    );
    const { folder: sweepFolder, runs } = await newSweep(file, recipe, [
      { key: 'lora.r', values: [1, 16] },
    ]);
    expect(sweepName(sweepFolder)).toBe('git');
    expect(sweepOf(runs[0]!.recipe)).toBe(sweepFolder);
    expect([sweepOf(file), sweepOf(null)]).toEqual([null, null]);
    expect(runs.map(({ root, name }) => [root, name])).toEqual([
      [path.join(folder, '.lora/runs'), 'git r 1'],
      [path.join(folder, '.lora/runs'), 'git r 16'],
    ]);
    for (const [i, r] of [1, 16].entries()) {
      const written = parseRecipe(await readFile(runs[i]!.recipe, 'utf8'), runs[i]!.recipe);
      expect(written).toEqual({ ...recipe, lora: { ...recipe.lora, r, lora_alpha: 2 * r } });
      expect(written.base).toBe(path.join(folder, 'models/tiny'));
    }
  });
});

it('suggests values around that of the recipe', () => {
  expect(
    [
      ['lora.r', 8],
      ['training.learning_rate', 2e-4],
      ['training.seed', 42],
      ['lora.use_dora', false],
      ['lora.target_modules', ['q_proj']],
      ['training.max_steps', null],
    ].map(([key, value]) => suggestedValues(key as string, value)),
  ).toEqual([
    '1, 2, 4, 8, 16',
    '0.0001, 0.0002, 0.0004',
    '42, 43, 44',
    'true, false',
    '["q_proj"]',
    'null',
  ]);
});
