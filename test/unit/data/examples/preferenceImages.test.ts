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

/** What is wrong with a row of preferences that names an image. */
async function faultOf(method: string, row: object): Promise<string> {
  const dataset = path.join(mkdtempSync(path.join(tmpdir(), 'pairs-')), 'pairs.jsonl');
  writeFileSync(dataset, `${JSON.stringify(row)}\n`);
  const recipe = v.parse(RecipeSchema, { base, dataset, objective: { method } });
  const opened = await openBase(base);
  try {
    const read = await readData(recipe, null);
    const data = await prepareData(read, recipe, await dataToolsOf(opened));
    data.close();
    return '';
  } catch (error) {
    const { message, problems = [] } = LoraError.from(error, 'dataset');
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

it.each([
  ['dpo', { prompt, chosen: answer('A hinge.'), rejected: answer('A door.') }],
  ['orpo', { images: ['a.png'], prompt, chosen: answer('A hinge.'), rejected: answer('No.') }],
  ['kto', { prompt, completion: answer('A hinge.'), label: true }],
])('refuses images in preferences by name: %s', async (method, row) => {
  expect(await faultOf(method, row)).toContain(
    'Images in answers that are compared are not supported',
  );
});
