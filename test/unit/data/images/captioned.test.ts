import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { encode } from 'fast-png';
import { expect, it } from 'vitest';
import * as v from 'valibot';
import { collateCaptioned } from '../../../../src/data/examples/batch';
import { prepareData, readData } from '../../../../src/data/dataset/prepare';
import { dataToolsOf } from '../../../../src/data/dataset/dataTools';
import { RecipeSchema } from '../../../../src/shared/recipe';
import { openBase } from '../../../../src/formats/openBase';
import { temp } from '../../../support/temp';

const padding = { pad_id: 9, max_length: 4 };
const examples = [
  { kind: 'captioned', line: 1, file: '/w/a.png', input_ids: Int32Array.of(1, 2) },
  { kind: 'captioned', line: 2, file: '/w/b.png', input_ids: Int32Array.of(3) },
] as const;
const pixels = [Float32Array.of(1, 2), Float32Array.of(3, 4)];

it('texts are padded to the longest, or fill all positions, whose padding is read', () => {
  const short = collateCaptioned(examples, pixels, 5, { ...padding, fills: false });
  expect([...short.input_ids]).toEqual([1, 2, 9, 9, 3, 9, 9, 9]);
  expect([...short.attention_mask]).toEqual([1, 1, 0, 0, 1, 0, 0, 0]);
  expect(short.images).toEqual({ batch: 2, length: 5, pixel_values: Float32Array.of(1, 2, 3, 4) });
  const full = collateCaptioned(examples, pixels, 5, { ...padding, fills: true });
  expect([...full.input_ids]).toEqual([1, 2, 9, 9, 3, 9, 9, 9]);
  expect([...full.attention_mask]).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
});

async function prepared(...rows: readonly object[]) {
  const folder = temp();
  const image = encode({
    width: 4,
    height: 4,
    data: new Uint8Array(48),
    channels: 3,
    depth: 8,
  });
  writeFileSync(path.join(folder, 'here.png'), image);
  const dataset = path.join(folder, 'rows.jsonl');
  writeFileSync(dataset, rows.map((row) => JSON.stringify(row)).join('\n'));
  const recipe = v.parse(RecipeSchema, { task: 'contrastive', base: 'b', dataset });
  const base = await openBase('test/fixtures/siglip/base');
  try {
    const read = await readData(recipe, null);
    const data = await prepareData(read, recipe, await dataToolsOf(base));
    return await data.collate([data.train.at(0)]).finally(data.close);
  } finally {
    await base.close();
  }
}

it('images are found beside the file of their rows', async () => {
  const batch = await prepared({ image: 'here.png', text: 'a picture' });
  expect(batch.length).toBe(12);
  expect(batch.images?.length).toBe(16);
  expect(batch.images?.pixel_values).toHaveLength(3 * 16 * 16);
});

it('an image that is missing is an error of its line, before the training', async () => {
  const rows = [
    { image: 'here.png', text: 'one' },
    { image: 'gone.png', text: 'two' },
  ];
  await expect(prepared(...rows)).rejects.toMatchObject({
    message: 'Images of the dataset cannot be read.',
    problems: [{ place: { line: 2 } }],
  });
});

it('files that are no images, or too large, are errors of their lines before the training', async () => {
  const rows = [{ image: 'rows.jsonl', text: 'one' }];
  await expect(prepared(...rows)).rejects.toMatchObject({
    problems: [
      {
        message: expect.stringMatching(
          /rows\.jsonl of row 1 cannot be used: .*neither a PNG nor/,
        ) as unknown,
        place: { line: 1 },
      },
    ] as unknown,
  });
});

it('addresses are refused', async () => {
  await expect(prepared({ image: 'https://example.com/a.png', text: 'one' })).rejects.toThrow(
    /must be the path of a file, not an address/,
  );
});

it('a path that no system has is an error', async () => {
  const long = 'a'.repeat(300_000);
  await expect(prepared({ image: long, text: 'one' })).rejects.toThrow(/more than 4096 characters/);
  await expect(prepared({ image: 'a\u0000b.png', text: 'one' })).rejects.toMatchObject({
    message: expect.stringMatching(/"image" has a null character/) as string,
    place: { line: 1 },
  });
});
