import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { columnsOf } from '../../../src/inspect/columnFacts';
import { rowFiles } from '../../../src/inspect/rowFiles';

let root: string;
beforeEach(async () => void (root = await mkdtemp(path.join(tmpdir(), 'columns-'))));
afterEach(() => rm(root, { recursive: true }));

const written = async (name: string, text: string) => {
  const file = path.join(root, name);
  await writeFile(file, text);
  return file;
};

describe('the columns of a dataset', () => {
  it('are shown with what they hold in the first rows, where no form is known', async () => {
    const file = await written(
      'faq.csv',
      `frage,antwort\nWie?,So.\n"Wo\nnoch?",${'a'.repeat(99)}\n`,
    );
    expect(await columnsOf(file)).toEqual({
      forms: [],
      columns: [
        { name: 'frage', values: ['Wie?', 'Wo noch?'] },
        { name: 'antwort', values: ['So.', `${'a'.repeat(60)}…`] },
      ],
    });
  });

  it('have the forms that all of the first rows can be read as', async () => {
    const forms = async (...rows: object[]) =>
      (await columnsOf(await written('a.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'))))
        .forms;
    const texts = ['causal_lm', 'seq2seq_lm'];
    expect(await forms({ question: 'a', answer: 'b' })).toEqual(texts);
    expect(await forms({ source: 'a', target: 'b' })).toEqual(['seq2seq_lm']);
    expect(await forms({ review: 'a', sentiment: 1 })).toEqual(['seq_cls']);
    expect(await forms({ text: 'a', label: 'b' })).toEqual(['causal_lm', 'seq_cls']);
    expect(await forms({ text: 'a', label: 'b' }, { messages: [] })).toEqual(['causal_lm']);
    expect(await forms({ chosen: 'a', rejected: 'b' }, { a: 1 })).toEqual([]);
  });

  it('are those of the first file of a folder, and none of what holds no objects', async () => {
    await mkdir(path.join(root, 'rows'));
    await written('rows/b.jsonl', '{"b": 1}\n');
    const first = await written('rows/a.jsonl', '{"a": [1, {"b": 2}]}\n[1]\n');
    const { columns } = await columnsOf(path.join(root, 'rows'));
    expect(columns).toEqual([{ name: 'a', values: ['[1,{"b":2}]'] }]);
    const files = await rowFiles(path.join(root, 'rows'));
    expect(files.map((own) => path.basename(own.path))).toEqual(['a.jsonl', 'b.jsonl']);
    expect(await rowFiles(first)).toEqual([{ path: first, bytes: 25 }]);
    const none = { forms: [], columns: [] };
    expect(await columnsOf(await written('list.jsonl', '[1]\n'))).toEqual(none);
    expect(await columnsOf(await written('empty.jsonl', ''))).toEqual(none);
  });
});
