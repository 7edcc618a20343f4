import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { examineData } from '../../../../src/data/dataset/examine';
import { prepareData, readData } from '../../../../src/data/dataset/prepare';
import { sourceFacts } from '../../../../src/data/dataset/sourceFacts';
import { smallTokenizer } from '../../../support/datasets';
import { batchesOf } from '../../../../src/data/examples/batchOrder';
import type { Example } from '../../../../src/data/examples/example';
import type { DatasetSetting } from '../../../../src/shared/datasetSources';
import { RecipeSchema, type RecipeInput } from '../../../../src/shared/recipe';

const folder = mkdtempSync(path.join(tmpdir(), 'sources-'));
const tokenizer = smallTokenizer();
const TOOLS = { tokenizer, images: null, has_types: false, max_positions: 512 };

const write = (name: string, content: string) => {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
};
const texts = (name: string, count: number, word: string) =>
  write(
    name,
    Array.from({ length: count }, (_, i) => `${JSON.stringify({ text: `${word} ${i}` })}\n`).join(
      '',
    ),
  );
const recipeOf = (dataset: DatasetSetting, others: Partial<RecipeInput> = {}) =>
  v.parse(RecipeSchema, { base: folder, dataset, validation_split: 0, ...others });
async function prepare(dataset: DatasetSetting, others: Partial<RecipeInput> = {}) {
  const recipe = recipeOf(dataset, others);
  const data = await prepareData(await readData(recipe, null), recipe, TOOLS);
  return { data, recipe };
}
const textOf = (example: Example) =>
  example.kind === 'tokens' ? tokenizer.decode([...example.input_ids]).replace('<|eos|>', '') : '';
const wordsIn = (examples: { length: number; at: (i: number) => Example }) =>
  Array.from({ length: examples.length }, (_, i) => textOf(examples.at(i)));
const problemsOf = async (dataset: DatasetSetting, others: Partial<RecipeInput> = {}) => {
  const read = await readData(recipeOf(dataset, others), null);
  return read.datasets.flatMap(({ problems }) => problems);
};

const A = texts('a.jsonl', 10, 'apple');
const B = texts('b.jsonl', 4, 'pear');

describe('several sources', () => {
  it('are drawn by their weights, the same with the same seed', async () => {
    const dataset = [
      { path: A, weight: 0.5 },
      { path: B, weight: 2 },
    ];
    const { data, recipe } = await prepare(dataset);
    const epochs = [0, 1, 2].map((epoch) => wordsIn(data.trainIn(epoch)));
    expect(epochs.map((own) => own.length)).toEqual([13, 13, 13]);
    expect(new Set([...epochs[0]!, ...epochs[1]!]).size).toBe(14);
    expect(epochs[2]).toEqual(epochs[0]);
    const again = await prepare(dataset);
    const settings = { batch_size: 3, shuffle: true, seed: recipe.training.seed, epoch: 1 };
    expect(batchesOf(again.data.trainIn(1), settings)).toEqual(
      batchesOf(data.trainIn(1), settings),
    );
    expect(wordsIn(again.data.trainIn(1))).toEqual(epochs[1]);
    data.close();
    again.data.close();
  });

  it('are described: examples, tokens, what is drawn of each, and its share', async () => {
    const dataset = [A, { path: B, weight: 3 }];
    const { data, recipe } = await prepare(dataset);
    expect(data.sources).toMatchObject([
      { name: A, weight: 1, drawn: 10, statistics: { examples: 10 } },
      { name: B, weight: 3, drawn: 12, statistics: { examples: 4 } },
    ]);
    expect(data.sources.map(({ share }) => share)).toEqual([10 / 22, 12 / 22]);
    data.close();
    const read = await readData(recipe, null);
    const checked = await examineData(read, recipe, TOOLS);
    expect(sourceFacts(read, checked)).toMatchObject([
      { name: A, drawn: 10, examples: 10 },
      { name: B, drawn: 12, examples: 4, share: 12 / 22 },
    ]);
  });

  it('hold out examples of each, which are never drawn', async () => {
    const { data } = await prepare([A, { path: B, weight: 5 }], { validation_split: 0.3 });
    const held = wordsIn(data.validation);
    expect(held).toHaveLength(4);
    expect(data.sources.flatMap((own) => wordsIn(own.validation!))).toEqual(held);
    const trained = new Set(wordsIn(data.trainIn(0)));
    expect(held.some((word) => trained.has(word))).toBe(false);
    data.close();
  });

  it('are read up to a number of rows, also of a folder', async () => {
    const parts = path.join(folder, 'parts');
    texts('parts/0.jsonl', 3, 'one');
    texts('parts/1.jsonl', 3, 'two');
    texts('parts/2.jsonl', 3, 'three');
    write('parts/notes.txt', 'no rows');
    const { data } = await prepare([
      { path: parts, rows: 5 },
      { path: B, rows: 1 },
    ]);
    expect(wordsIn(data.train)).toEqual(['one 0', 'one 1', 'one 2', 'two 0', 'two 1', 'pear 0']);
    data.close();
  });

  it('are packed with whole weights, and refused with others', async () => {
    const training = { packing: true, max_length: 64 };
    const { data } = await prepare([A, { path: B, weight: 2 }], { training });
    const parts = Array.from({ length: data.train.length }, (_, i) => data.train.at(i)).flatMap(
      (row) => (row.kind === 'packed' ? row.parts : []),
    );
    expect(parts).toHaveLength(18);
    data.close();
    await expect(prepare([{ path: A, weight: 0.5 }], { training })).rejects.toMatchObject({
      area: 'recipe',
      message: expect.stringContaining('whole weights') as unknown,
    });
  });

  it('name the file of a faulty row', async () => {
    const bad = write('bad.csv', 'text,x\nfine,1\nbroken\n');
    const problems = await problemsOf([A, bad]);
    expect(problems.find(({ severity }) => severity === 'error')).toMatchObject({
      place: { file: bad, line: 3 },
      message: 'The row has 1 cell, but the first line names 2 columns.',
    });
  });
});

describe('a folder', () => {
  it('is refused where it also holds what is held out, or nothing', async () => {
    texts('mixed/train-0.jsonl', 2, 'a');
    texts('mixed/test-0.jsonl', 2, 'b');
    await expect(prepare(path.join(folder, 'mixed'))).rejects.toMatchObject({
      area: 'dataset',
      message: expect.stringContaining('train-0.jsonl, test-0.jsonl') as unknown,
    });
    mkdirSync(path.join(folder, 'empty'));
    await expect(prepare(path.join(folder, 'empty'))).rejects.toMatchObject({
      message: expect.stringContaining('no file with rows') as unknown,
    });
  });
});

describe('columns', () => {
  const csv = write('qa.csv', 'id,question,answer\n1,Who?,Me.\n2,Where?,Here.\n');

  it('of known names are mapped by themselves', async () => {
    const { data } = await prepare(csv);
    expect(wordsIn(data.train).map((text) => /Who\?|Where\?/.exec(text)?.[0])).toEqual([
      'Who?',
      'Where?',
    ]);
    data.close();
    for (const row of [
      { question: 'a', answer: 'b' },
      { input: 'a', output: 'b' },
      { instruction: 'a', response: 'b' },
      { query: 'a', response: 'b' },
      { instruction: 'a', context: 'c', response: 'b' },
      { prompt: 'a', response: 'b' },
      { content: 'a' },
    ]) {
      const file = write('known.jsonl', JSON.stringify(row));
      expect((await problemsOf(file)).filter(({ severity }) => severity === 'error')).toEqual([]);
    }
  });

  it('are mapped by the recipe, and by a source before it', async () => {
    const file = write('own.jsonl', '{"frage": "Wer?", "antwort": "Ich.", "text": "no"}');
    const columns = { prompt: 'frage', completion: 'antwort' };
    const { data } = await prepare(file, { columns });
    expect(wordsIn(data.train)[0]).toMatch(/Wer\?.*Ich\./s);
    data.close();
    const other = write('other.jsonl', '{"q": "Who?", "a": "Me."}');
    const both = await prepare([file, { path: other, columns: { prompt: 'q', completion: 'a' } }], {
      columns,
    });
    expect(wordsIn(both.data.train)[1]).toMatch(/Who\?.*Me\./s);
    both.data.close();
  });

  it('of a source that has its own are not those of the recipe', async () => {
    const file = write('own.jsonl', '{"frage": "Wer?", "antwort": "Ich."}');
    const other = write('plain.jsonl', '{"text": "as it is"}');
    const { data } = await prepare([file, { path: other, columns: {} }], {
      columns: { prompt: 'frage', completion: 'antwort' },
    });
    expect(wordsIn(data.train)[1]).toMatch(/as it is/);
    data.close();
  });

  it('that are missing are named, with the nearest', async () => {
    const problems = await problemsOf(csv, {
      columns: { prompt: 'qestion', completion: 'answer' },
    });
    expect(problems[0]).toMatchObject({
      severity: 'error',
      place: { file: csv, line: 2 },
      message:
        'There is no column "qestion", which "columns" gives as prompt: did you mean "question"?',
    });
  });

  it('are not guessed where two could be meant', async () => {
    const file = write('two.jsonl', '{"question": "a", "answer": "b", "response": "c"}');
    expect((await problemsOf(file)).map(({ message }) => message).join()).toMatch(
      /known rows have/,
    );
  });
});
