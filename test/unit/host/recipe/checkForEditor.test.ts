import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { namesRemoteFiles } from '../../../../src/host/recipe/recipeFiles';
import { checkForEditor, checkForRun } from '../../../../src/host/recipe/checkForEditor';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'recipe-'));
  file = path.join(folder, 'lora.json');
  await writeFile(path.join(folder, 'train.jsonl'), '');
});
afterEach(() => rm(folder, { recursive: true }));

describe('a recipe in the editor', () => {
  it('marks each missing file at its value', async () => {
    const text =
      '{\n  "base": "model.gguf",\n  "dataset": "train.jsonl",\n  "lora": { "init_adapter": "old" }\n}';
    const problems = await checkForEditor(text, file, true);
    expect(problems.map((p) => [p.message, p.place?.line, p.place?.column])).toEqual([
      [`There is no base model at ${path.join(folder, 'model.gguf')}.`, 2, 11],
      [`There is no adapter at ${path.join(folder, 'old')}.`, 4, 29],
    ]);
  });

  it('marks unknown keys with the nearest known name and leaves the rest to the JSON schema', async () => {
    const problems = await checkForEditor(
      '{ "base": ".", "dataset": "train.jsonl", "lora": { "rank": 8, "lora_aplha": 3, "r": -1 } }',
      file,
      true,
    );
    expect(problems.map((p) => p.message)).toEqual([
      expect.stringContaining('Unknown key "rank"'),
      'Unknown key "lora_aplha". Did you mean "lora_alpha"?',
    ]);
  });

  it('is checked without a look at the files that it names before the workspace is trusted', async () => {
    expect(await checkForEditor('{ "base": "none", "dataset": "/none" }', file, false)).toEqual([]);
  });

  it.each(['//server/share/model', '\\\\server\\share', '\\\\?\\UNC\\server', '/\\server/x'])(
    'is checked without a look at %s',
    async (base) => {
      const text = JSON.stringify({ base, dataset: 'train.jsonl' });
      expect(await checkForEditor(text, file, true)).toEqual([]);
      expect(namesRemoteFiles(text)).toBe(true);
    },
  );

  it('names files on a server also as an adapter', () => {
    const lora = [{ init_adapter: '//server/a' }, { frozen_adapters: ['a', '//server/a'] }];
    for (const own of lora) expect(namesRemoteFiles(JSON.stringify({ lora: own }))).toBe(true);
    expect(namesRemoteFiles('{ "base": "/a//b", "lora": { "frozen_adapters": ["a"] } }')).toBe(
      false,
    );
    expect(namesRemoteFiles('{')).toBe(false);
  });

  it('lists all problems before a run', async () => {
    const problems = await checkForRun('{ "base": "x.gguf", "lora": { "r": -1 } }', file);
    expect(problems.map((p) => p.message)).toEqual(
      expect.arrayContaining([
        '"dataset" is missing.',
        '"lora.r" must be at least 1, not -1.',
        `There is no base model at ${path.join(folder, 'x.gguf')}.`,
      ]),
    );
  });
});
