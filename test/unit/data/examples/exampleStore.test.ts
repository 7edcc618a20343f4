import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Example } from '../../../../src/data/examples/example';
import { ExampleStore } from '../../../../src/data/examples/exampleStore';

const ints = (...values: number[]) => Int32Array.from(values);
const EXAMPLES = [
  { kind: 'tokens', line: 1, input_ids: ints(0, 5, 7), labels: ints(-100, 5, -100) },
  { kind: 'tokens', line: 2, input_ids: ints(5, 7), labels: ints(2, -100) },
  {
    kind: 'text',
    line: 3,
    input_ids: ints(1, 2, 3),
    token_type_ids: ints(0, 1, 1),
    target: ints(4),
  },
  {
    kind: 'text',
    line: 4,
    input_ids: ints(9),
    token_type_ids: ints(0),
    target: Float32Array.of(0.1, -1e-40, NaN),
  },
  { kind: 'pair', line: 5, anchor: ints(1), positive: ints(2, 3, 4) },
  { kind: 'pair', line: 6, anchor: ints(), positive: ints() },
  { kind: 'pair', line: 11, anchor: ints(1), positive: ints(2), score: 0 },
  {
    kind: 'pair',
    line: 12,
    anchor: ints(1),
    positive: ints(2, 3),
    negatives: [ints(), ints(4, 5, 6)],
    weight: 2,
  },
  { kind: 'captioned', line: 13, file: '/w/Bär 😀.png', input_ids: ints(1, 2), weight: 3 },
  { kind: 'captioned', line: 14, file: '/w/a.png', input_ids: ints() },
  { kind: 'answer', line: 15, source: ints(4, 5), input_ids: ints(0, 6), labels: ints(-100, 6) },
  {
    kind: 'answer',
    line: 16,
    source: ints(4),
    input_ids: ints(9, 0, 2),
    labels: ints(-100, 0, 2),
    weight: 2,
  },
  { kind: 'tokens', line: 7, input_ids: ints(5), labels: ints(-100), weight: 0.5 },
  { kind: 'tokens', line: 8, input_ids: ints(5), labels: ints(3), weight: 1e-30 },
  { kind: 'text', line: 9, input_ids: ints(), token_type_ids: ints(), target: ints(4), weight: 2 },
  { kind: 'pair', line: 10, anchor: ints(1), positive: ints(2), weight: Math.fround(0.1) },
  {
    kind: 'tokens',
    line: 15,
    input_ids: ints(1, 9, 9, 4),
    labels: ints(-100, -100, -100, 4),
    images: [
      { file: '/w/Bär 😀.png', at: 1, tokens: 2, grid: { height: 2, width: 4 } },
      { file: '/w/a.png', at: 3, tokens: 1, grid: { height: 2, width: 2 } },
    ],
    weight: 2,
  },
  {
    kind: 'unpaired',
    line: 17,
    answer: {
      input_ids: ints(1, 9, 4),
      labels: ints(-100, -100, 4),
      images: [{ file: '/w/a.png', at: 1, tokens: 1, grid: { height: 2, width: 2 } }],
    },
    rest: { input_ids: ints(3), labels: ints(3) },
    desirable: true,
    stated: -1.5,
  },
  {
    kind: 'unpaired',
    line: 18,
    answer: { input_ids: ints(1, 4), labels: ints(-100, 4) },
    rest: { input_ids: ints(), labels: ints() },
    desirable: false,
    stated: null,
  },
] as const satisfies readonly Example[];

/** Weights are kept in f32. */
const rounded = (example: Example): Example =>
  'weight' in example ? { ...example, weight: Math.fround(example.weight) } : example;

describe.each([
  ['in memory', 2 ** 20],
  ['in a file', 4],
])('a store of examples %s', (_, memory) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'store-'));
  const store = new ExampleStore(path.join(folder, 'examples.tmp'), memory);
  const many = Array.from({ length: 50 }, (_, i) => EXAMPLES[i % EXAMPLES.length]!);
  for (const example of many) store.add(example);

  it('gives back what was added, in any order', () => {
    expect(store.length).toBe(50);
    for (const i of [49, 0, 17, 30, 3, 48, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 16, 18, 37])
      expect(store.at(i)).toEqual(rounded(many[i]!));
    expect([0, 1, 2, 3, 4, 5].map((i) => store.lengthAt(i))).toEqual([3, 2, 3, 1, 3, 0]);
  });

  it('leaves no file', () => {
    store.close();
    expect(readdirSync(folder)).toEqual([]);
  });
});

it('keeps an image within its row, of any length', () => {
  const file = `data:image/png;base64,${'A'.repeat(8e6)}`;
  const image = { file, at: 0, tokens: 1, grid: { height: 2, width: 2 } };
  const [input_ids, labels] = [ints(9, 4), ints(-100, 4)];
  const store = new ExampleStore('/nowhere/at/all');
  store.add({ kind: 'tokens', line: 1, input_ids, labels, images: [image] });
  const kept = store.at(0);
  expect(kept.kind === 'tokens' && kept.images?.[0]?.file === file).toBe(true);
});

it('says that the disk is full, or whatever else prevents writing', () => {
  const store = new ExampleStore('/nowhere/at/all', 4);
  expect(() => {
    for (let i = 0; i < 10; i++) store.add(EXAMPLES[0]);
  }).toThrow('The tokens of the dataset cannot be written.');
});
