import path from 'node:path';
import * as v from 'valibot';
import { expect, it } from 'vitest';
import { dataToolsOf } from '../../../../src/data/dataset/dataTools';
import { prepareData, readData } from '../../../../src/data/dataset/prepare';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { openBase } from '../../../../src/formats/openBase';
import { LoraError } from '../../../../src/shared/errors';
import { RecipeSchema } from '../../../../src/shared/recipe';

const base = path.resolve(import.meta.dirname, '../../../fixtures/qwen3-vl-images/base');

/** What is wrong with a row of preferences that names an image; '': nothing. */
async function faultOf(method: string, top: object, ...rows: object[]): Promise<string> {
  const dataset = path.join(mkdtempSync(path.join(tmpdir(), 'pairs-')), 'pairs.jsonl');
  writeFileSync(dataset, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const recipe = v.parse(RecipeSchema, { base, dataset, objective: { method }, ...top });
  const opened = await openBase(recipe.base);
  try {
    const read = await readData(recipe, null);
    const data = await prepareData(read, recipe, await dataToolsOf(opened));
    data.close();
    return '';
  } catch (error) {
    const { message, problems } = LoraError.from(error, 'dataset');
    return [message, ...problems.map((problem) => problem.message)].join('\n');
  } finally {
    await opened.close();
  }
}

const prompt = [
  {
    role: 'user',
    content: [
      { type: 'image', image: 'a.png' },
      { type: 'text', text: 'What is it?' },
    ],
  },
];
const answer = (content: string) => [{ role: 'assistant', content }];

it('refuses images by name for reward models, which transformers has none of', async () => {
  const row = { prompt, chosen: answer('A hinge.'), rejected: answer('A door.') };
  expect(await faultOf('sft', { task: 'reward' }, row)).toMatch(
    /1 image\. Images are not supported for reward models/,
  );
});

it('refuses an image behind the first answer of a row of kto, which another prompt would get', async () => {
  const folder = path.resolve(base, '../chats');
  const asked = (...parts: object[]) => [{ role: 'user', content: parts }];
  const late = asked({ type: 'image', image: path.join(folder, 'wide.png') });
  const question = asked({ type: 'text', text: 'And?' });
  const row = (more: object[], label: boolean) => ({
    prompt: question,
    completion: [...answer('One.'), ...more, ...answer('Two.')],
    label,
  });
  const settings = { training: { max_length: 128 } };
  expect(await faultOf('kto', settings, row(question, true), row(late, false))).toMatch(
    /wide\.png is behind the first answer\. With kto, only the prompt can have images/,
  );
  expect(await faultOf('kto', settings, row(question, true), row(question, false))).toBe('');
  const first = { ...row(question, false), prompt: late };
  expect(await faultOf('kto', settings, row(question, true), first)).toBe('');
});

it('names an image of a pair that cannot be read, and a base that reads none', async () => {
  const row = { images: ['a.png'], prompt, chosen: answer('A hinge.'), rejected: answer('No.') };
  const pictured = { ...row, prompt: [{ role: 'user', content: 'What is it?' }] };
  for (const own of [{ ...row, images: undefined }, pictured])
    expect(await faultOf('dpo', {}, own)).toMatch(/a\.png cannot be read: it does not exist/);
  const single = { prompt, completion: answer('A hinge.'), label: true };
  const others = [true, false].map((label) => ({ ...single, label }));
  expect(await faultOf('kto', {}, ...others)).toMatch(/a\.png cannot be read: it does not exist/);
  const llama = path.resolve(base, '../../llama/base');
  expect(await faultOf('dpo', { base: llama }, pictured)).toContain('only for qwen3_vl');
});
