import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { cli, fixtures, makeRecipe, tempFolder, train } from '../support/commandLine';

const bert = path.join(fixtures, 'bert/base');
const COLOURS = ['red', 'green', 'blue'];
const words = (n: number, of: (colour: string, i: number) => object) =>
  Array.from({ length: n }, (_, i) => of(COLOURS[i % 3]!, i));
const text = (colour: string, i: number) => `the ${colour} ${['car', 'hat', 'cup', 'key'][i % 4]!}`;
const rowsFile = (...rows: object[]) => {
  const file = path.join(tempFolder(), 'rows.jsonl');
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
};

it('a reranker puts documents in order, also merged into its base', async () => {
  const rows = words(24, (c, i) => ({
    query: c,
    document: text(i % 2 ? c : 'pink', i),
    score: i % 2,
  }));
  const training = { max_steps: 120, per_device_train_batch_size: 6, learning_rate: 3e-3 };
  const top = { base: bert, task: 'reranker', validation_split: 0.25 } as const;
  const runDir = await train(makeRecipe({ top, lora: { r: 4 }, training }, rows));
  const adapter = path.join(runDir, 'adapter');
  const merged = path.join(tempFolder(), 'merged');
  const merge = ['merge', '--base', bert, '--adapter', adapter, '--output', merged];
  expect((await cli(...merge)).code).toBe(0);
  expect(JSON.parse(readFileSync(path.join(merged, 'config.json'), 'utf8'))).toMatchObject({
    id2label: { 0: 'relevance' },
  });
  const documents = path.join(tempFolder(), 'documents.txt');
  writeFileSync(documents, `${text('pink', 1)}\r\n\n${text('red', 3)}\n`);
  const ask = async (...model: string[]) => {
    const query = ['--query', 'red', '--document', text('red', 5), '--documents', documents];
    const { stdout } = await cli('rerank', ...model, ...query, '--json');
    return (JSON.parse(stdout) as { documents: { index: number; score: number }[] }).documents;
  };
  const ranked = await ask('--base', bert, '--adapter', adapter);
  expect(ranked.map(({ index }) => index).sort()).toEqual([0, 1, 2]);
  expect(ranked[2]!.index).toBe(1);
  expect(ranked[0]!.score).toBeGreaterThan(ranked[2]!.score);
  const again = await ask('--base', merged);
  again.forEach(({ index, score }, i) => {
    expect(index).toBe(ranked[i]!.index);
    expect(score).toBeCloseTo(ranked[i]!.score, 4);
  });
  const { code, stderr } = await cli('rerank', '--base', bert, '--query', 'a', '--document', 'b');
  expect(code).toBe(1);
  expect(stderr).toMatch(/no head with one output/);
});

it('several datasets are evaluated together, each with its share and scores', async () => {
  const rows = words(12, (c, i) => ({ text: text(c, i), label: `LABEL_${COLOURS.indexOf(c)}` }));
  const [all, some, others] = [rows, rows.slice(0, 4), rows.slice(4)].map((own) =>
    rowsFile(...own),
  );
  const measure = async (...datasets: string[]) => {
    const given = datasets.flatMap((dataset) => ['--dataset', dataset]);
    const { stdout } = await cli('evaluate', '--base', bert, ...given, '--json');
    return JSON.parse(stdout) as {
      loss: number;
      accuracy: number;
      sources?: { share: number; loss: number }[];
    };
  };
  const whole = await measure(all!);
  expect(whole.sources).toBeUndefined();
  for (const given of [[some!, others!], [JSON.stringify([{ path: all, rows: 4 }, others])]]) {
    const { sources, ...found } = await measure(...given);
    expect(found.loss).toBeCloseTo(whole.loss, 5);
    expect(found.accuracy).toBe(whole.accuracy);
    expect(sources!.map(({ share }) => share)).toEqual([1 / 3, 2 / 3]);
    expect((sources![0]!.loss + 2 * sources![1]!.loss) / 3).toBeCloseTo(found.loss, 5);
  }
});
