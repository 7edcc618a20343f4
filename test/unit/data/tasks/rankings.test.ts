import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  prepareData,
  readData,
  type DataRecipe,
  type DataTools,
} from '../../../../src/data/dataset/prepare';
import type { RankingExample } from '../../../../src/data/examples/example';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import { LoraError } from '../../../../src/shared/errors';
import type { RerankerLoss } from '../../../../src/shared/rerankerSettings';
import { taskOfKeys } from '../../../../src/shared/task';
import { smallTokenizer } from '../../../support/datasets';
import { temp } from '../../../support/temp';

const tools: DataTools = {
  tokenizer: smallTokenizer(),
  images: null,
  has_types: true,
  max_positions: 64,
};

async function prepare(rows: readonly object[], loss: RerankerLoss | null = null) {
  const dataset = path.join(temp(), 'rows.jsonl');
  writeFileSync(dataset, rows.map((row) => JSON.stringify(row)).join('\n'));
  const recipe: DataRecipe = {
    ...ROW_SETTINGS,
    task: 'reranker',
    reranker: { loss },
    problem_type: null,
    dataset,
    validation: null,
    validation_split: 0,
    labels: 'assistant',
    training: { max_length: 32, seed: 1, packing: false },
  };
  return prepareData(await readData(recipe, null), recipe, tools);
}

const faults = (...given: Parameters<typeof prepare>) =>
  prepare(...given).then(
    () => [],
    (error: unknown) => {
      if (!(error instanceof LoraError)) throw error;
      const problems = error.problems.length > 0 ? error.problems : [error];
      return problems.map(({ message, place }) => `${place?.line ?? ''} ${message}`);
    },
  );

const pair = { query: 'a b', document: 'c', score: 1 };
const list = { query: 'a', documents: ['b', 'c d'], scores: [1, 0] };

describe('rated documents', () => {
  it.each([
    pair,
    { query: 'a b', text: 'c', label: 1 },
    { query: 'a b', document: 'c', label: '1' },
    { question: 'a b', passage: 'c', relevance: 1 },
  ])('of one pair a row: %j', async (row) => {
    const { train, statistics } = await prepare([row]);
    const { query, ...example } = train.at(0) as RankingExample;
    const plain = await prepare([pair]);
    expect({ ...example, query }).toEqual(plain.train.at(0));
    expect([...example.scores]).toEqual([1]);
    expect(statistics.train.sequences).toBe(1);
  });

  it.each([
    list,
    { query: 'a', documents: ['b', 'c d'], labels: [1, 0] },
    { query: 'a', docs: ['b', 'c d'], labels: [1, 0] },
  ])('in a list: %j', async (row) => {
    const { train, statistics, collate } = await prepare([row, { ...row, weight: 2 }]);
    const [a, b] = [train.at(0), train.at(1)] as [RankingExample, RankingExample];
    expect(a.texts.map((text) => text.token_type_ids.includes(1))).toEqual([true, true]);
    expect([...a.scores]).toEqual([1, 0]);
    expect(a.query).toBe(b.query);
    expect(statistics.train.sequences).toBe(2);
    const batch = await collate([a, b]);
    expect(batch.batch).toBe(4);
    expect([...batch.ranking!.groups!]).toEqual([2, 2]);
    expect([...batch.weights!]).toEqual([1, 2]);
  });

  it.each<[RegExp, readonly object[], RerankerLoss | null]>([
    [/^2 Either all rows have lists/, [pair, list], null],
    [/^1 The score 2 is not between 0 and 1/, [{ ...pair, score: 2 }], null],
    [/^1 BinaryCrossEntropyLoss rates one document/, [list], 'BinaryCrossEntropyLoss'],
    [/^1 ListNetLoss needs "documents"/, [pair], 'ListNetLoss'],
    [/^1 All documents have the same score/, [{ ...list, scores: [1, 1] }], 'RankNetLoss'],
    [/^1 RankNetLoss compares the rows/, [{ ...list, weight: 2 }], 'RankNetLoss'],
    [/^1 "scores" has 1 entry, but "documents" has 2/, [{ ...list, scores: [1] }], null],
    [/^1 .*at least two/, [{ ...list, documents: ['b'], scores: [1] }], null],
    [
      /^1 .*at most 128/,
      [{ query: 'a', documents: Array(129).fill('b'), scores: Array(129).fill(1) }],
      null,
    ],
    [/^1 "documents" must hold texts only, not a number/, [{ ...list, documents: ['b', 3] }], null],
    [/^1 "documents" must be a list/, [{ ...list, documents: 'b' }], null],
    [/^1 "scores\[1\]" must be a number/, [{ ...list, scores: [1, 'x'] }], null],
    [/^1 "score" must be a number/, [{ ...pair, score: 'x' }], null],
    [/^1 "score" must be a number/, [{ ...pair, score: null }], null],
    [/^1 "query" is empty/, [{ ...pair, query: ' ' }], null],
  ])('are refused by row: %s', async (message, rows, loss) => {
    expect((await faults(rows, loss))[0]).toMatch(message);
  });

  it('with any scores are learned by the squared error', async () => {
    const { train } = await prepare([{ ...pair, score: -3.5 }], 'MSELoss');
    expect([...(train.at(0) as RankingExample).scores]).toEqual([-3.5]);
  });
});

it('rows with a query, a document and a score are those of a reranker', () => {
  expect(taskOfKeys(Object.keys(pair))).toBe('reranker');
  expect(taskOfKeys(Object.keys(list))).toBe('reranker');
  expect(taskOfKeys(['query', 'text', 'label'])).toBe('reranker');
  expect(taskOfKeys(['query', 'positive', 'label'])).toBe('embedding');
  expect(taskOfKeys(['text', 'label'])).toBe('seq_cls');
});
