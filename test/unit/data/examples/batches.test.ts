import { describe, expect, it } from 'vitest';
import { collate, collateImages } from '../../../../src/data/examples/batch';
import { lengthOf, linesOf, tokensOf, type Example } from '../../../../src/data/examples/example';
import {
  maybeSorted,
  sampleText,
  selectSampleRows,
} from '../../../../src/data/examples/sampleRows';
import { countLabels } from '../../../../src/data/examples/tokenizeRows';
import { RowFacts } from '../../../../src/data/dataset/tokenizedDataset';
import { batchesIn, packRows, splitItems } from '../../../support/scannedRows';
import type { TokensExample } from '../../../../src/data/examples/example';
import type { Row } from '../../../../src/data/rows/row';

const ints = (...values: number[]) => Int32Array.from(values);
const tokens = (line: number, length: number): TokensExample => ({
  kind: 'tokens',
  line,
  input_ids: new Int32Array(length).fill(line),
  labels: new Int32Array(length).fill(line),
});
const text = {
  kind: 'text',
  line: 2,
  input_ids: ints(1, 2, 3),
  token_type_ids: ints(0, 1, 1),
  target: ints(1),
} as const;
const pair = { kind: 'pair', line: 3, anchor: ints(1, 2), positive: ints(3, 4, 5) } as const;
const image = { kind: 'image', line: 4, file: 'a.png', target: ints(7) } as const;
const packed = { kind: 'packed', parts: [tokens(5, 2), tokens(6, 3)] } as const;

it('gives the length, tokens and lines of each kind of example', () => {
  const of = (example: Example) => [lengthOf(example), tokensOf(example, 50), linesOf(example)];
  expect(of(tokens(1, 4))).toEqual([4, 4, [1]]);
  expect(of(text)).toEqual([3, 3, [2]]);
  expect(of(pair)).toEqual([3, 5, [3]]);
  expect(of(image)).toEqual([1, 50, [4]]);
  expect(of(packed)).toEqual([5, 5, [5, 6]]);
});

it('counts tokens, labels, the longest row and truncated rows', () => {
  const facts = new RowFacts(50);
  const row = { kind: 'text', line: 1, text: '' } as const;
  for (const [example, length] of [
    [tokens(1, 4), 9],
    [text, 3],
    [image, 50],
  ] as const)
    facts.add({ row, example, length }, 0);
  expect(facts.statisticsOf(ints(0, 1, 2))).toEqual({
    examples: 3,
    tokens: 4 + 3 + 50,
    labelled_tokens: 3 + 1 + 1,
    longest: 50,
    truncated: 1,
    sequences: 1,
  });
  expect(facts.statisticsOf(ints(1))).toMatchObject({ examples: 1, tokens: 3, truncated: 0 });
  expect(countLabels(ints(5, -100, 5, 5))).toBe(2);
  expect(countLabels(ints(5))).toBe(0);
});

describe('a batch', () => {
  it('pads the ids, types and mask of texts and stacks the targets', () => {
    const other = { ...text, input_ids: ints(9), token_type_ids: ints(0), target: ints(0) };
    const batch = collate([text, other], 8, 3);
    expect(batch).toMatchObject({ batch: 2, length: 3 });
    expect([...batch.input_ids]).toEqual([1, 2, 3, 9, 8, 8]);
    expect([...batch.attention_mask]).toEqual([1, 1, 1, 1, 0, 0]);
    expect([...batch.token_type_ids!]).toEqual([0, 1, 1, 0, 0, 0]);
    expect(batch.labels).toEqual(ints(1, 0));
    const numbers = { ...text, target: Float32Array.of(0.5, 1) };
    expect(collate([numbers, numbers], 8, 3).labels).toEqual(Float32Array.of(0.5, 1, 0.5, 1));
  });

  it('has all anchors of pairs, then all positives, and no labels', () => {
    const other = { ...pair, anchor: ints(6), positive: ints(7) };
    const batch = collate([pair, other], 0, 3);
    expect(batch).toMatchObject({ batch: 4, length: 3 });
    expect([...batch.input_ids]).toEqual([1, 2, 0, 6, 0, 0, 3, 4, 5, 7, 0, 0]);
    expect(batch.labels).toHaveLength(0);
  });

  it('has positions and segment numbers of packed rows', () => {
    const batch = collate([packed, { kind: 'packed', parts: [tokens(7, 1)] }], 0, 6);
    expect([...batch.input_ids]).toEqual([5, 5, 6, 6, 6, 0, 7, 0, 0, 0, 0, 0]);
    expect([...batch.labels]).toEqual([5, 5, 6, 6, 6, -100, 7, ...new Array<number>(5).fill(-100)]);
    expect([...batch.position_ids!]).toEqual([0, 1, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0]);
    expect([...batch.segment_ids!]).toEqual([1, 1, 2, 2, 2, 0, 1, 0, 0, 0, 0, 0]);
    expect([...batch.attention_mask]).toEqual([1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0]);
  });

  it('concatenates the pixels of images and masks every position', () => {
    const batch = collateImages([image, image], [Float32Array.of(1, 2), Float32Array.of(3, 4)], 5);
    expect(batch).toMatchObject({ batch: 2, length: 5 });
    expect([...batch.pixel_values!]).toEqual([1, 2, 3, 4]);
    expect(batch.attention_mask).toEqual(new Int32Array(10).fill(1));
    expect(batch.labels).toEqual(ints(7, 7));
    expect(batch.input_ids).toHaveLength(0);
  });
});

describe('the order of batches', () => {
  const examples = Array.from({ length: 83 }, (_, i) => tokens(i, 1 + ((i * 37) % 83)));
  const settings = { batch_size: 4, shuffle: true, seed: 1, epoch: 0 };

  it('is that of the examples without shuffling', () => {
    const batches = batchesIn(examples, { ...settings, shuffle: false });
    expect(batches.flat()).toEqual(examples);
    expect(batches.map((b) => b.length)).toEqual([...new Array<number>(20).fill(4), 3]);
  });

  it('groups similar lengths within windows of 8 batches', () => {
    const batches = batchesIn(examples, settings);
    for (let start = 0; start < 80; start += 32) {
      const window = batches.slice(start / 4, Math.min(20, start / 4 + 8));
      const ranges = window
        .map((batch) => batch.map(lengthOf))
        .map((lengths) => [Math.min(...lengths), Math.max(...lengths)] as const)
        .sort((a, b) => a[0] - b[0]);
      ranges.slice(1).forEach(([least], i) => expect(least).toBeGreaterThan(ranges[i]![1]));
      const shuffled = window.map((batch) => lengthOf(batch[0]!));
      expect(shuffled).not.toEqual([...shuffled].sort((a, b) => a - b));
    }
    const firsts = batches.slice(0, 16).map((batch) => lengthOf(batch[0]!));
    expect(Math.max(...firsts.slice(0, 8))).toBeGreaterThan(Math.min(...firsts.slice(8)));
    expect(batches.at(-1)).toHaveLength(3);
  });

  it('depends on seed and epoch', () => {
    const order = (change: object) =>
      batchesIn(examples, { ...settings, ...change })
        .flat()
        .map(({ line }) => line);
    expect(order({})).toEqual(order({}));
    expect(order({ epoch: 1 })).not.toEqual(order({}));
    expect(order({ seed: 2 })).not.toEqual(order({}));
  });
});

describe('packing', () => {
  it('puts each example, longest first, into the fullest row with enough space', () => {
    const rows = packRows(
      [3, 7, 6, 4, 2, 10, 4].map((n, i) => tokens(i, n)),
      10,
    );
    expect(rows.map(({ parts }) => parts.map(({ line }) => line))).toEqual([
      [5],
      [1, 0],
      [2, 3],
      [6, 4],
    ]);
  });
});

describe('the validation set', () => {
  const drawn = (count: number, share: number) =>
    splitItems(
      Array.from({ length: count }, (_, i) => i),
      share,
      1,
    );

  it('has the rounded fraction, at least one and not all', () => {
    expect(drawn(10, 0.24).validation).toHaveLength(2);
    expect(drawn(10, 0.25).validation).toHaveLength(3);
    expect(drawn(10, 0.01).validation).toHaveLength(1);
    expect(drawn(3, 1).validation).toHaveLength(2);
    expect(drawn(2, 0.5).train).toHaveLength(1);
    expect(drawn(1, 0.5)).toEqual({ train: [0], validation: [] });
    expect(drawn(5, 0).validation).toEqual([]);
    expect(drawn(5, -1).validation).toEqual([]);
  });

  it('keeps the order of the examples in both parts', () => {
    const { train, validation } = drawn(40, 0.5);
    for (const part of [train, validation]) expect(part).toEqual([...part].sort((a, b) => a - b));
    expect([...train, ...validation].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 40 }, (_, i) => i),
    );
  });
});

describe('sample rows', () => {
  const shown = (rows: readonly Row[]) =>
    selectSampleRows({
      length: rows.length,
      maybeSorted: rows.length > 0 && maybeSorted(rows[0]!.kind),
      isShownAt: (i) => sampleText(rows[i]!) !== '',
    }).map((i) => sampleText(rows[i]!));
  const labelled = (line: number): Row => ({
    kind: 'labelled',
    line,
    text: `t${line}`,
    text_pair: null,
    label: 'a',
  });
  const completion = (line: number): Row => ({
    kind: 'completion',
    line,
    prompt: `p${line}`,
    completion: 'c',
  });

  it('are the first two of chats, and one of each half of other rows', () => {
    expect(shown([1, 2, 3, 4].map(completion))).toEqual(['p1', 'p2']);
    expect(shown([1, 2, 3, 4].map(labelled))).toEqual(['t1', 't3']);
    expect(shown([1, 2, 3, 4, 5].map(labelled))).toEqual(['t1', 't3']);
    expect(shown([1].map(labelled))).toEqual(['t1']);
    expect(shown([])).toEqual([]);
  });

  it('have the text of each kind of row', () => {
    const chat: Row = {
      kind: 'messages',
      line: 2,
      messages: [
        { role: 'system', content: 's' },
        { role: 'user', content: 'question' },
        { role: 'assistant', content: 'answer' },
      ],
    };
    const noQuestion: Row = {
      kind: 'messages',
      line: 1,
      messages: [{ role: 'assistant', content: 'x' }],
    };
    expect(shown([noQuestion, chat])).toEqual(['question']);
    expect(shown([{ kind: 'labelled', line: 1, text: 'a', text_pair: 'b', label: 1 }])[0]).toBe(
      'a\nb',
    );
    expect(shown([{ kind: 'tagged', line: 1, tokens: ['a', 'b'], tags: [0, 1] }])).toEqual(['a b']);
    expect(shown([{ kind: 'pair', line: 1, anchor: 'a', positive: 'b' }])[0]).toBe('a\nb');
    expect(shown([{ kind: 'image', line: 1, file: '/data/cats/1.png', label: 'cats' }])[0]).toMatch(
      /^cats.1\.png$/,
    );
    expect(shown([{ kind: 'text', line: 1, text: 'a' }])).toEqual([]);
  });
});

describe('the weights of a batch', () => {
  const weighted = (weight: number) => ({ ...tokens(1, 2), weight });

  it('are left out where all are 1', () => {
    for (const examples of [[tokens(1, 2)], [packed], [text], [pair]])
      expect(collate(examples, 0)).not.toHaveProperty('weights');
  });
  it('are those of the rows of their tokens', () => {
    const { weights, length } = collate([weighted(3), tokens(2, 3)], 0);
    expect([...weights!.subarray(0, 2)]).toEqual([3, 3]);
    expect(weights!.subarray(length, length + 3)).toEqual(Float32Array.of(1, 1, 1));
  });
  it('are those of the texts in packed rows', () => {
    const row = { kind: 'packed', parts: [tokens(5, 2), weighted(0.5), weighted(2)] } as const;
    const { weights } = collate([row], 0);
    expect([...weights!.subarray(0, 6)]).toEqual([1, 1, 0.5, 0.5, 2, 2]);
  });
  it('are one for each row or pair otherwise', () => {
    expect(collate([{ ...text, weight: 2 }, text], 0).weights).toEqual(Float32Array.of(2, 1));
    expect(collate([pair, { ...pair, weight: 4 }], 0).weights).toEqual(Float32Array.of(1, 4));
  });
});

it('a batch of pairs has all anchors, all positives and each column of negatives, or scores', () => {
  const triple = { ...pair, negatives: [ints(6), ints(7)] };
  const batch = collate([triple, { ...triple, anchor: ints(9) }], 0);
  const firsts = Array.from(
    { length: batch.batch },
    (_, row) => batch.input_ids[row * batch.length],
  );
  expect(firsts).toEqual([1, 9, 3, 3, 6, 6, 7, 7]);
  expect(batch.columns).toBe(4);
  expect(batch.labels).toHaveLength(0);
  expect([lengthOf(triple), tokensOf(triple, 1)]).toEqual([3, 7]);
  const scored = collate([{ ...pair, score: 0.5 }], 0);
  expect(scored.labels).toEqual(Float32Array.of(0.5));
  expect(scored).not.toHaveProperty('columns');
});
