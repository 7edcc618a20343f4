import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { keepPrompt, readPrompts } from '../../../../src/host/playground/prompts';
import { NO_NOTES, writeNotes } from '../../../../src/host/runs/runNotes';

const temp = () => mkdtemp(path.join(tmpdir(), 'prompts-'));

it('keeps the newest prompt first, without duplicates', async () => {
  const folder = await temp();
  for (const prompt of ['a', 'b', 'a']) await keepPrompt(folder, prompt);
  expect(await readPrompts(folder)).toEqual(['a', 'b']);
});

it('reports and keeps a file that cannot be read', async () => {
  const folder = await temp();
  await mkdir(path.join(folder, '.lora'));
  for (const [file, write] of [
    ['.lora/prompts.json', () => keepPrompt(folder, 'new')],
    ['notes.json', () => writeNotes(folder, NO_NOTES)],
  ] as const) {
    await writeFile(path.join(folder, file), '["mine",');
    await expect(write()).rejects.toThrow('cannot be read');
    expect(await readFile(path.join(folder, file), 'utf8')).toBe('["mine",');
  }
});
