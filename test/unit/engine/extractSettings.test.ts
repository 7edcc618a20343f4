import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { differentSettings } from '../../../src/engine/extract/settings';
import { readSpec } from '../../../src/formats/architecture/readSpec';
import { openBase } from '../../../src/formats/openBase';
import { asGguf } from '../../support/ggufFixture';
import { ggufBytes } from '../../support/ggufWriter';
import { fixtures } from '../../support/models';
import { temp } from '../../support/temp';

async function specOf(model: string) {
  const base = await openBase(model);
  await base.close();
  return base.spec;
}

it.each([
  ['llama', 'llama'],
  ['qwen2', 'qwen2'],
  ['qwen3', 'qwen3'],
  ['gemma', 'gemma'],
  ['gpt2', 'gpt2'],
  ['gpt_neox', 'gptneox'],
])('a folder and a .gguf file of one %s have the same settings', async (family, arch) => {
  const folder = path.join(fixtures, family, 'base');
  const file = path.join(temp(), 'base.gguf');
  const { metadata, tensors } = await asGguf(folder, arch);
  writeFileSync(file, ggufBytes(metadata, tensors));
  expect(differentSettings(await specOf(folder), await specOf(file))).toEqual([]);
});

it('a model whose padding has been chosen has the same settings', () => {
  const config = JSON.parse(
    readFileSync(path.join(fixtures, 'llama/base/config.json'), 'utf8'),
  ) as object;
  const [base, tuned] = [null, 3].map((pad_token_id) =>
    readSpec({ ...config, pad_token_id }, 'config.json'),
  );
  expect(tuned).not.toEqual(base);
  expect(differentSettings(base!, tuned!)).toEqual([]);
});

it('each setting that differs is listed once for all layers', async () => {
  const [one, other] = [
    await specOf(path.join(fixtures, 'rope-linear/base')),
    await specOf(path.join(fixtures, 'rope-dynamic/base')),
  ];
  const names = differentSettings(one, other).map(({ name }) => name);
  expect(names).toContain('attention.rope.scaling.kind');
  expect(new Set(names).size).toBe(names.length);
});
