import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { writeSample } from '../../../../src/host/sample/writeSample';
import { checkRecipe } from '../../../../src/shared/recipeFile';

it('writes the datasets, a recipe for a downloadable base model and a README; keeps existing files', async () => {
  const folder = path.join(await mkdtemp(path.join(tmpdir(), 'sample-')), 'lora-sample');
  const sources = {
    files: path.resolve('examples/git-commands'),
    readme: path.resolve('media/sample.md'),
  };
  await writeSample(folder, sources);
  expect((await readdir(folder)).sort()).toEqual([
    'README.md',
    'lora.json',
    'train.jsonl',
    'validation.jsonl',
  ]);
  const { recipe, problems } = checkRecipe(
    await readFile(path.join(folder, 'lora.json'), 'utf8'),
    path.join(folder, 'lora.json'),
  );
  expect([problems, recipe?.base]).toEqual([[], path.join(folder, 'models/SmolLM2-135M-Instruct')]);
  expect(await readFile(path.join(folder, 'README.md'), 'utf8')).toContain('LoRA: Sweep Ranks');
  await writeFile(path.join(folder, 'lora.json'), 'mine');
  await writeSample(folder, sources);
  expect(await readFile(path.join(folder, 'lora.json'), 'utf8')).toBe('mine');
});
