import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collate } from '../../../src/data/examples/batch';
import { labelsOf, packRows, scanDataset } from '../../support/scannedRows';
import { labelSetOf, targetOf, type LabelSet } from '../../../src/data/tasks/labelSet';
import { ProblemCollector } from '../../../src/data/dataset/problems';
import { ROW_SETTINGS } from '../../../src/data/rows/settings';
import { createTokenizer } from '../../../src/data/tokenizer/createTokenizer';
import { tokenizeTaskRows } from '../../support/scannedRows';
import type { TextExample, TokensExample } from '../../../src/data/examples/example';
import type { Row } from '../../../src/data/rows/row';
import type { ProblemType, Task } from '../../../src/shared/task';
import { smallTokenizer } from '../../support/datasets';

/** A BERT tokenizer of single letters: [CLS] a ##b [SEP]. */
function wordPieces() {
  const letters = Array.from('abcdefghijklmnopqrstuvwxyz');
  const tokens = [
    '[PAD]',
    '[UNK]',
    '[CLS]',
    '[SEP]',
    ...letters,
    ...letters.map((letter) => `##${letter}`),
  ];
  const special = (content: string) => ({
    id: tokens.indexOf(content),
    content,
    special: true,
    lstrip: false,
    rstrip: false,
    normalized: false,
    single_word: false,
  });
  const part = (id: string, type_id: number) =>
    id.length === 1 ? { Sequence: { id, type_id } } : { SpecialToken: { id, type_id } };
  return createTokenizer({
    source: 'tokenizer',
    chat_template: null,
    config: { pad_token: '[PAD]', cls_token: '[CLS]', sep_token: '[SEP]', unk_token: '[UNK]' },
    tokenizer: {
      version: '1.0',
      added_tokens: ['[PAD]', '[UNK]', '[CLS]', '[SEP]'].map(special),
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      post_processor: {
        type: 'TemplateProcessing',
        single: [part('[CLS]', 0), part('A', 0), part('[SEP]', 0)],
        pair: [part('[CLS]', 0), part('A', 0), part('[SEP]', 0), part('B', 1), part('[SEP]', 1)],
        special_tokens: Object.fromEntries(
          ['[CLS]', '[SEP]'].map((token) => [
            token,
            { id: token, ids: [tokens.indexOf(token)], tokens: [token] },
          ]),
        ),
      },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      },
    },
  });
}

const bert = wordPieces();
const [CLS, SEP] = [2, 3];
const ofBert = (ids: Int32Array) => bert.decode([...ids]);
const set = (problem_type: ProblemType, ...names: string[]): LabelSet => ({ problem_type, names });
const single = set('single_label_classification', 'x', 'y');
const settings = { max_length: 12, labels: single, has_types: true, image_length: 1 };
const textRow = (
  text: string,
  text_pair: string | null = null,
  label: string | number = 'x',
): Row => ({ kind: 'labelled', line: 1, text, text_pair, label });
const example = (row: Row, tokenizer = bert, change: object = {}) => {
  const { examples, problems } = tokenizeTaskRows('f', [row], {
    tokenizer,
    ...settings,
    ...change,
  });
  expect(problems).toEqual([]);
  return examples[0]!;
};

const textExample = (...args: Parameters<typeof example>) => example(...args) as TextExample;
const tokensExample = (...args: Parameters<typeof example>) => example(...args) as TokensExample;

describe('tokenizing a text', () => {
  it('truncates between the special tokens, the longer text of a pair first', () => {
    const cut = textExample(textRow('abcdefghijklmnopqrstuvwxyz'));
    expect([cut.input_ids.length, cut.input_ids[0], cut.input_ids.at(-1)]).toEqual([12, CLS, SEP]);
    const both = textExample(textRow('abcdefghijkl', 'abc'));
    expect(ofBert(both.input_ids)).toBe('[CLS] abcdef [SEP] abc [SEP]');
    expect([...both.token_type_ids]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    const even = textExample(textRow('abcdefghijkl', 'abcdefghijklmnop'));
    expect([both.input_ids.length, even.input_ids.length]).toEqual([12, 12]);
    expect([
      ...textExample(textRow('ab', 'cd'), bert, { has_types: false }).token_type_ids,
    ]).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });

  it('adds no special tokens if the tokenizer has none', () => {
    const { input_ids } = textExample(
      textRow('ab', 'cd'),
      smallTokenizer({ tokenizer: { post_processor: null } }),
    );
    expect(smallTokenizer().decode([...input_ids])).toBe('abcd');
  });

  it.each([
    ['in pieces', bert, 'ab'],
    ['by bytes', smallTokenizer(), 'ab'],
  ] as const)("of words has a tag on each word's first token (%s)", (_, tokenizer, word) => {
    const { input_ids, labels } = tokensExample(
      { kind: 'tagged', line: 1, tokens: [word, word, 'c'], tags: ['x', 'y', 'y'] },
      tokenizer,
    );
    const tagged = [...labels.keys()].filter((i) => labels[i] !== -100);
    expect(tagged.map((i) => labels[i])).toEqual([0, 1, 1]);
    const [first, second, third] = tagged as [number, number, number];
    expect([...input_ids.subarray(first, second)]).toEqual([...input_ids.subarray(second, third)]);
  });

  it('drops the tags of truncated tokens', () => {
    const { labels } = tokensExample({
      kind: 'tagged',
      line: 1,
      tokens: ['abcdefgh', 'ij', 'kl'],
      tags: ['x', 'y', 'x'],
    });
    expect([...labels].filter((label) => label !== -100)).toEqual([0, 1]);
  });

  it('reports an unknown label with its line', () => {
    const { examples, problems } = tokenizeTaskRows('f', [textRow('a', null, 'z')], {
      tokenizer: bert,
      ...settings,
    });
    expect(examples).toEqual([]);
    expect(problems).toMatchObject([
      { message: 'The model has no label "z"; it has "x", "y".', place: { line: 1 } },
    ]);
  });
});

describe('labels', () => {
  const of = (
    labels: readonly (string | number | readonly string[])[],
    wanted: ProblemType | null = null,
    known: readonly string[] | null = null,
  ) => {
    const problems = new ProblemCollector('f');
    const rows = labels.map((label, i): Row => ({
      kind: 'labelled',
      line: i + 1,
      text: 'a',
      text_pair: null,
      label,
    }));
    return {
      labels: labelSetOf(labelsOf(rows, problems), {
        task: 'seq_cls',
        problem_type: wanted,
        known,
      }),
      problems: problems.problems().map((p) => p.message),
    };
  };

  it('are sorted by name or number, or taken from the base model', () => {
    expect(of(['b', 'a', 'b']).labels).toEqual(set('single_label_classification', 'a', 'b'));
    expect(of([10, 2, 1]).labels?.names).toEqual(['1', '2', '10']);
    expect(of(['b', 'a'], null, ['b', 'c', 'a']).labels?.names).toEqual(['b', 'c', 'a']);
    expect(of([0, 1], null, ['neg', 'pos']).labels?.names).toEqual(['neg', 'pos']);
    expect(of([0, 1], null, ['neg', 'mid', 'pos']).labels?.names).toEqual(['0', '1']);
    expect(of(['b', 'd'], null, ['b', 'c']).labels?.names).toEqual(['b', 'd']);
  });

  it('make a regression if they are fractions, and a multi-label task if they are lists', () => {
    expect(of([0.5, 1]).labels).toEqual(set('regression', 'value'));
    expect(of([1, 2], 'regression').labels).toEqual(set('regression', 'value'));
    expect(of([['a'], [], ['b', 'a']]).labels).toEqual(set('multi_label_classification', 'a', 'b'));
    expect([...targetOf(['b'], set('multi_label_classification', 'a', 'b'))]).toEqual([0, 1]);
    expect([...targetOf(1.5, set('regression', 'value'))]).toEqual([1.5]);
    expect([...targetOf('y', single)]).toEqual([1]);
  });

  it('are rejected if they have one value only, mixed types or too many values', () => {
    expect(of(['a', 'a']).problems).toEqual([expect.stringContaining('nothing to classify')]);
    expect(of([['a'], 'b', 'c']).problems).toHaveLength(2);
    expect(of([0.5, 'b']).problems).toEqual([expect.stringContaining('regression')]);
    expect(of(Array.from({ length: 10_001 }, (_, i) => i)).problems).toEqual([
      expect.stringContaining('too many'),
    ]);
    expect(() => targetOf(['x'], single)).toThrow(RangeError);
    expect(() => targetOf('x', set('regression', 'value'))).toThrow(RangeError);
  });
});

it('reads the rows of each task by their keys and names missing keys', async () => {
  const read = async (task: Task, row: object) => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'rows-')), 'f.jsonl');
    writeFileSync(file, JSON.stringify(row));
    const { rows, problems } = await scanDataset(file, { ...ROW_SETTINGS, task });
    return rows[0] ?? problems[0]!.message;
  };
  expect(await read('seq_cls', { sentence1: 'a', sentence2: 'b', label: 1 })).toEqual({
    kind: 'labelled',
    line: 1,
    text: 'a',
    text_pair: 'b',
    label: 1,
  });
  expect(await read('seq_cls', { sentence: 'a', label: true })).toMatchObject({
    text: 'a',
    label: 'true',
  });
  expect(await read('token_cls', { tokens: ['a'], ner_tags: [3] })).toEqual({
    kind: 'tagged',
    line: 1,
    tokens: ['a'],
    tags: [3],
  });
  expect(await read('embedding', { query: 'a', positive: 'b' })).toEqual({
    kind: 'pair',
    line: 1,
    anchor: 'a',
    positive: 'b',
  });
  expect(await read('seq_cls', { text: 'a', lable: 'x' })).toMatch(/is it misspelled as "lable"/);
  expect(await read('seq_cls', { text: 'a', label: null })).toMatch(
    /A label must be a name or a number, not null/,
  );
  expect(await read('embedding', { anchor: 'a', positive: ' ' })).toMatch(/"positive" is empty/);
  expect(await read('token_cls', { tokens: ['a', 1], tags: [0, 0] })).toMatch(
    /"tokens" must hold words only/,
  );
});

describe('packing', () => {
  const tokens = (line: number, length: number): TokensExample => ({
    kind: 'tokens',
    line,
    input_ids: new Int32Array(length).fill(line),
    labels: new Int32Array(length).fill(line),
  });

  it('puts every example into one row within max_length, with little padding', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 80 }),
        (lengths) => {
          const rows = packRows(
            lengths.map((n, i) => tokens(i + 1, n)),
            20,
          );
          const sizes = rows.map(({ parts }) =>
            parts.reduce((sum, part) => sum + part.input_ids.length, 0),
          );
          expect(Math.max(...sizes)).toBeLessThanOrEqual(20);
          expect(
            rows.flatMap(({ parts }) => parts.map((part) => part.line)).sort((a, b) => a - b),
          ).toEqual(lengths.map((_, i) => i + 1));
          // Best fit leaves no two rows that would fit into one row.
          expect(
            [...sizes]
              .sort((a, b) => a - b)
              .slice(0, 2)
              .reduce((a, b) => a + b, 0) > 20 || rows.length === 1,
          ).toBe(true);
        },
      ),
    );
  });

  it("rounds batch lengths up to recurring lengths within the model's positions", () => {
    const batchOf = (length: number, most?: number) =>
      collate(
        [
          {
            kind: 'tokens',
            line: 1,
            input_ids: new Int32Array(length),
            labels: new Int32Array(length),
          },
        ],
        0,
        most,
      );
    expect([3, 16, 17].map((length) => batchOf(length, 64).length)).toEqual([16, 16, 32]);
    expect([batchOf(17, 20).length, batchOf(17, 5).length, batchOf(17).length]).toEqual([
      20, 17, 17,
    ]);
    expect([...batchOf(3, 4).attention_mask]).toEqual([1, 1, 1, 0]);
  });

  it('counts positions and segments within a row', () => {
    const { input_ids, position_ids, segment_ids, attention_mask } = collate(
      [
        { kind: 'packed', parts: [tokens(1, 2), tokens(2, 3)] },
        { kind: 'packed', parts: [tokens(3, 4)] },
      ],
      0,
    );
    expect([...input_ids]).toEqual([1, 1, 2, 2, 2, 3, 3, 3, 3, 0]);
    expect([...position_ids!]).toEqual([0, 1, 0, 1, 2, 0, 1, 2, 3, 0]);
    expect([...segment_ids!]).toEqual([1, 1, 2, 2, 2, 1, 1, 1, 1, 0]);
    expect([...attention_mask]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
  });
});
