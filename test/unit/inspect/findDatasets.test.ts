import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { datasetAt, findDatasets } from '../../../src/inspect/findDatasets';

let root: string;
beforeEach(async () => void (root = await mkdtemp(path.join(tmpdir(), 'datasets-'))));
afterEach(() => rm(root, { recursive: true }));

it('lists each .jsonl file with its rows and keys, those for training first', async () => {
  await mkdir(path.join(root, 'data'));
  await writeFile(path.join(root, 'data/dev.jsonl'), '{"text":"a"}\n');
  await writeFile(
    path.join(root, 'data/train.jsonl'),
    '{"prompt":"a","completion":"b"}\n\n{"prompt":"c","completion":"d"}',
  );
  await writeFile(path.join(root, 'data/validation.jsonl'), '');
  await writeFile(path.join(root, 'data/notes.txt'), 'x');
  const found = await findDatasets([root]);
  expect(found.map((d) => [d.name, d.rows, d.keys, d.validation])).toEqual([
    [
      path.join('data', 'train.jsonl'),
      2,
      ['prompt', 'completion'],
      path.join(root, 'data/validation.jsonl'),
    ],
    [path.join('data', 'dev.jsonl'), 1, ['text'], null],
    [path.join('data', 'validation.jsonl'), 0, [], null],
  ]);
});

it('leaves out rows and keys of files that cannot be read quickly', async () => {
  await writeFile(path.join(root, 'big.jsonl'), `[1]\n${'x'.repeat(5 * 2 ** 20)}`);
  expect(await findDatasets([root])).toMatchObject([{ rows: null, keys: [], validation: null }]);
});

it('detects the task by the first row, and image folders by their classes', async () => {
  const rows = {
    chat: { messages: [] },
    labels: { text: 'a', label: 'x' },
    many: { text: 'a', labels: ['x'] },
    tags: { tokens: ['a'], ner_tags: [0] },
    pairs: { anchor: 'a', positive: 'b' },
    sts: { sentence1: 'a', sentence2: 'b', label: 0.5 },
  };
  for (const [name, row] of Object.entries(rows))
    await writeFile(path.join(root, `${name}.jsonl`), JSON.stringify(row));
  for (const name of ['cat', 'dog']) {
    await mkdir(path.join(root, 'pets', name), { recursive: true });
    await writeFile(path.join(root, 'pets', name, `1.${name === 'cat' ? 'png' : 'JPG'}`), '');
  }
  await mkdir(path.join(root, 'docs/media'), { recursive: true });
  await writeFile(path.join(root, 'docs/media/logo.png'), '');
  const found = await findDatasets([root]);
  expect(Object.fromEntries(found.map((d) => [path.parse(d.name).name, d.task]))).toEqual({
    chat: 'causal_lm',
    labels: 'seq_cls',
    many: 'seq_cls',
    tags: 'token_cls',
    pairs: 'embedding',
    sts: 'seq_cls',
    pets: 'image_cls',
  });
  expect(found.find((d) => d.task === 'image_cls')).toMatchObject({
    path: path.join(root, 'pets'),
    keys: ['cat', 'dog'],
    rows: 2,
  });
});

it('finds tables of other formats with their rows, but no .json', async () => {
  await writeFile(path.join(root, 'faq.csv'), 'question,answer\n"a\nb",c\nd,e\n');
  await writeFile(path.join(root, 'valid.csv'), 'question,answer\na,b\n');
  await writeFile(path.join(root, 'package.json'), '[{"text":"a"}]');
  await writeFile(path.join(root, 'broken.parquet'), 'PAR1');
  expect(
    (await findDatasets([root])).map(({ name, rows, keys, validation }) => [
      name,
      rows,
      keys,
      validation,
    ]),
  ).toEqual([
    ['broken.parquet', null, [], null],
    ['faq.csv', 2, ['question', 'answer'], path.join(root, 'valid.csv')],
    ['valid.csv', 1, ['question', 'answer'], null],
  ]);
});

it('describes a folder of files by its first one', async () => {
  await mkdir(path.join(root, 'rows'));
  await writeFile(path.join(root, 'rows/a.jsonl'), '{"prompt":"a","completion":"b"}\n');
  await writeFile(path.join(root, 'rows/b.csv'), 'prompt,completion\nc,d\n');
  expect(await datasetAt(path.join(root, 'rows'), ['rows', 'validation'])).toMatchObject({
    name: 'rows',
    keys: ['prompt', 'completion'],
    rows: null,
    bytes: 32 + 22,
    validation: path.join(root, 'validation'),
  });
  await mkdir(path.join(root, 'none'));
  expect(await datasetAt(path.join(root, 'none'), [])).toMatchObject({ keys: [], rows: null });
});
