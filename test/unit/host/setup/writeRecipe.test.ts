import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freeRecipeName, recipeText, writeRecipe } from '../../../../src/host/setup/writeRecipe';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { TASKS, type Task } from '../../../../src/shared/task';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'write-'))));
afterEach(() => rm(folder, { recursive: true }));

describe('recipeText', () => {
  it('names files inside the folder relatively, others in full, and reads back as a recipe', () => {
    const answers = {
      task: 'causal_lm' as const,
      base: '/models/tiny',
      dataset: { path: path.join(folder, 'data', 'train.jsonl') },
      columns: {},
      replay: null,
      validation: null,
      r: 4,
      target_modules: ['q_proj'],
    };
    const text = recipeText(answers, folder);
    expect(JSON.parse(text)).toMatchObject({
      base: '/models/tiny',
      dataset: 'data/train.jsonl',
      lora: { r: 4, lora_alpha: 8, target_modules: ['q_proj'] },
    });
    expect(parseRecipe(text, path.join(folder, 'lora.json'))).toMatchObject({
      dataset: answers.dataset.path,
      validation: null,
      lora: { r: 4 },
    });
  });

  it('names another task, and has settings for it', () => {
    const answers = {
      base: '/models/tiny',
      dataset: { path: path.join(folder, 'pairs.jsonl') },
      columns: {},
      replay: null,
      validation: null,
      r: 4,
      target_modules: 'all-linear' as const,
    };
    const of = (task: Task) =>
      parseRecipe(recipeText({ ...answers, task }, folder), path.join(folder, 'lora.json'));
    for (const task of TASKS) expect(of(task).task).toBe(task);
    const preferences = { ...answers, task: 'causal_lm' as const, method: 'dpo' as const };
    const dpo = parseRecipe(recipeText(preferences, folder), path.join(folder, 'lora.json'));
    expect(dpo.objective.method).toBe('dpo');
    expect(dpo.training.learning_rate).toBeLessThan(of('causal_lm').training.learning_rate);
    expect(of('embedding').training.per_device_train_batch_size).toBeGreaterThan(
      of('causal_lm').training.per_device_train_batch_size,
    );
  });
});

describe('writeRecipe', () => {
  it('writes the file and nothing beside it', async () => {
    await writeRecipe(path.join(folder, 'lora.json'), '{}\n');
    expect(await readdir(folder)).toEqual(['lora.json']);
    expect(await readFile(path.join(folder, 'lora.json'), 'utf8')).toBe('{}\n');
  });

  it('keeps the old file when the new one cannot be written', async () => {
    await mkdir(path.join(folder, 'lora.json'));
    await writeFile(path.join(folder, 'lora.json', 'x'), '');
    await expect(writeRecipe(path.join(folder, 'lora.json'), '{}')).rejects.toMatchObject({
      area: 'disk',
      fix: expect.stringContaining('writable') as string,
    });
    expect(await readdir(folder)).toEqual(['lora.json']);
  });
});

it('never suggests a name that is taken', () => {
  expect(freeRecipeName(new Set(), '/d/git.jsonl')).toBe('lora.json');
  expect(freeRecipeName(new Set(['lora.json']), '/d/git.jsonl')).toBe('git.lora.json');
  expect(
    freeRecipeName(new Set(['lora.json', 'git.lora.json', 'git-2.lora.json']), '/d/git.jsonl'),
  ).toBe('git-3.lora.json');
});
