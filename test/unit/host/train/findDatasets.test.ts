import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findDatasets } from '../../../../src/host/train/findDatasets';

let root: string;
beforeEach(async () => void (root = await mkdtemp(path.join(tmpdir(), 'datasets-'))));
afterEach(() => rm(root, { recursive: true }));

it('lists each .jsonl file with its rows and keys, those to learn from first', async () => {
  await mkdir(path.join(root, 'data'));
  await writeFile(path.join(root, 'data/dev.jsonl'), '{"text":"a"}\n');
  await writeFile(path.join(root, 'data/train.jsonl'), '{"prompt":"a","completion":"b"}\n\n{"prompt":"c","completion":"d"}');
  await writeFile(path.join(root, 'data/validation.jsonl'), '');
  await writeFile(path.join(root, 'data/notes.txt'), 'x');
  const found = await findDatasets([root]);
  expect(found.map((d) => [d.name, d.rows, d.keys, d.validation])).toEqual([
    [path.join('data', 'train.jsonl'), 2, ['prompt', 'completion'], path.join(root, 'data/validation.jsonl')],
    [path.join('data', 'dev.jsonl'), 1, ['text'], null],
    [path.join('data', 'validation.jsonl'), 0, [], null],
  ]);
});

it('tells neither rows nor keys of what it cannot read quickly', async () => {
  await writeFile(path.join(root, 'big.jsonl'), `[1]\n${'x'.repeat(5 * 2 ** 20)}`);
  expect(await findDatasets([root])).toMatchObject([{ rows: null, keys: [], validation: null }]);
});
