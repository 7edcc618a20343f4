import { describe, expect, it } from 'vitest';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { classOf, labelSetOf, tagLabels, targetOf } from '../../../../src/data/tasks/labelSet';
import { labelsOf, tokenizeTaskRows } from '../../../support/scannedRows';
import type { Row } from '../../../../src/data/rows/row';
import type { EmbeddingLoss } from '../../../../src/shared/embeddingSettings';
import type { ProblemType } from '../../../../src/shared/task';
import type { Tokenizer } from '../../../../src/data/tokenizer/tokenizer';

describe('a set of labels', () => {
  const of = (
    labels: readonly Extract<Row, { kind: 'labelled' }>['label'][],
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
    const found = labelSetOf(labelsOf(rows, problems), {
      task: 'seq_cls',
      problem_type: wanted,
      known,
    });
    return {
      found,
      problems: problems.problems().map((p) => `${p.place?.line ?? ''} ${p.message}`),
    };
  };

  it('of classes has 2 to 10,000', () => {
    const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
    expect(of(numbers(10_000)).found?.names).toHaveLength(10_000);
    expect(of(numbers(10_001)).problems[0]).toContain('1 The rows have 10001 different labels');
    expect(of(['a', 'a']).problems[0]).toContain('All rows have the label "a"');
    expect(of([[], []]).problems[0]).toContain('All rows have the label ""');
    expect(of(['b', 'a', 'A', 10, 9]).found?.names).toEqual(['9', '10', 'A', 'a', 'b']);
  });

  it('of numbers has one or several of them, the same in each row', () => {
    expect(
      of([
        [0.5, 1],
        [2, 3],
      ] as never).found,
    ).toEqual({ problem_type: 'regression', names: ['value 0', 'value 1'] });
    expect(of([[0.5, 1], [2]] as never).problems).toEqual([
      '2 The row has 1 number, others have 2.',
    ]);
    expect(of([0.5, 'x']).problems[0]).toContain(
      '2 The labels of other rows are numbers (regression), but this one is "x"',
    );
  });

  it('holds to the problem type that was asked for', () => {
    expect(of([['a'], ['b']], 'single_label_classification').problems).toHaveLength(2);
    expect(of(['a', ['b']], 'multi_label_classification').problems[0]).toContain(
      '1 Other rows have lists',
    );
    expect(of([['a', 'a'], ['b']]).problems[0]).toContain('1 A label is twice in the list');
    expect(of([1, 2], 'regression').found?.names).toEqual(['value']);
  });

  it('is that of the base where it has all labels, by name or by index', () => {
    const names = (labels: readonly (string | number)[]) =>
      of(labels, null, ['x', 'y', 'z']).found?.names;
    expect(names(['z', 'x'])).toEqual(['x', 'y', 'z']);
    expect(names([0, 1, 2])).toEqual(['x', 'y', 'z']);
    expect(names([0, 1])).toEqual(['0', '1']);
    expect(names([1, 2, 3])).toEqual(['1', '2', '3']);
    expect(names([-1, 0, 1])).toEqual(['-1', '0', '1']);
  });

  it('is taken from tags, images and labelled rows, whatever else there is', () => {
    const problems = new ProblemCollector('f');
    const rows: Row[] = [
      { kind: 'tagged', line: 1, tokens: ['a'], tags: ['t', 'o'] },
      { kind: 'text', line: 2, text: 'no label' },
      { kind: 'image', line: 3, file: 'f', label: 'cat' },
    ];
    expect(
      labelSetOf(labelsOf(rows, problems), {
        task: 'token_cls',
        problem_type: 'regression',
        known: null,
      }),
    ).toEqual({
      problem_type: 'single_label_classification',
      names: ['cat', 'o', 't'],
    });
  });
});

describe('a target', () => {
  const classes = { problem_type: 'single_label_classification', names: ['a', 'b'] } as const;
  const numbers = { problem_type: 'regression', names: ['value 0', 'value 1'] } as const;
  const several = { problem_type: 'multi_label_classification', names: ['a', 'b', 'c'] } as const;

  it('is a class by name or index', () => {
    expect([
      classOf('b', classes),
      classOf(1, classes),
      classOf(0, { names: ['1', '0'], problem_type: 'regression' }),
    ]).toEqual([1, 1, 1]);
    for (const label of ['c', 2, -1, 0.5, '1'])
      expect(() => classOf(label, classes)).toThrow('it has "a", "b"');
    const names = Array.from({ length: 13 }, (_, i) => `n${i}`);
    expect(() => classOf('x', { ...classes, names })).toThrow(/"n11"\.$/);
    expect(() => targetOf(['a'], classes)).toThrow(/list of labels/);
    expect(targetOf('a', classes)).toEqual(Int32Array.of(0));
  });

  it('is one number per output, or 0 and 1', () => {
    expect(targetOf([1, 2.5], numbers)).toEqual(Float32Array.of(1, 2.5));
    expect(() => targetOf([1], numbers)).toThrow('must be 2 numbers');
    expect(() => targetOf([1, 'x'], numbers)).toThrow('must be 2 numbers');
    expect(() => targetOf('x', { ...numbers, names: ['value'] })).toThrow('must be a number');
    expect(targetOf(['c', 'a'], several)).toEqual(Float32Array.of(1, 0, 1));
    expect(targetOf([], several)).toEqual(new Float32Array(3));
  });

  it("of words is at each word's first token", () => {
    expect([...tagLabels(['a', 'b', 'a'], [1, 3, 5], 5, classes)]).toEqual([
      -100, 0, -100, 1, -100,
    ]);
  });
});

describe('two texts', () => {
  /** A token per letter, between 101 and 102 as BERT has it. */
  const letters = {
    encode: (text: string) => Array.from(text, (letter) => letter.charCodeAt(0)),
    frame: { before: [101], between: [102, 103], after: [104] },
  } as unknown as Tokenizer;
  const tokenized = (rows: Row[], max_length: number, labels = ['x', 'y']) => {
    return tokenizeTaskRows('f', rows, {
      tokenizer: letters,
      max_length,
      labels: { problem_type: 'single_label_classification', names: labels },
      has_types: true,
      image_length: 9,
    });
  };
  const kept = (a: number, b: number, space: number) => {
    const row: Row = {
      kind: 'labelled',
      line: 1,
      text: 'a'.repeat(a),
      text_pair: 'b'.repeat(b),
      label: 'y',
    };
    const { examples, lengths } = tokenized([row], space + 4);
    const [example] = examples;
    if (example?.kind !== 'text') throw new Error('no text');
    expect(lengths).toEqual([a + b + 4]);
    const ids = [...example.input_ids];
    const [own, other] = [97, 98].map((id) => ids.filter((one) => one === id).length);
    const types = [...example.token_type_ids];
    expect(types.indexOf(1)).toBe(3 + own!);
    return [own, other];
  };

  it('lose tokens from the longer one, then from both in turn', () => {
    expect(kept(5, 3, 8)).toEqual([5, 3]);
    expect(kept(6, 3, 8)).toEqual([5, 3]);
    expect(kept(3, 6, 8)).toEqual([3, 5]);
    expect(kept(9, 3, 6)).toEqual([3, 3]);
    expect(kept(9, 3, 5)).toEqual([3, 2]);
    expect(kept(3, 9, 5)).toEqual([2, 3]);
    expect(kept(9, 9, 4)).toEqual([2, 2]);
    expect(kept(9, 9, 5)).toEqual([3, 2]);
    expect(kept(9, 9, 1)).toEqual([1, 1]);
  });

  it('of a pair are each cut on their own, and the longer counts', () => {
    const { examples, lengths, rows } = tokenized(
      [
        { kind: 'pair', line: 1, anchor: 'aaaa', positive: 'b' },
        { kind: 'image', line: 2, file: 'x.png', label: 'y' },
      ],
      4,
    );
    expect(examples).toEqual([
      {
        kind: 'pair',
        line: 1,
        anchor: Int32Array.of(101, 97, 97, 104),
        positive: Int32Array.of(101, 98, 104),
      },
      { kind: 'image', line: 2, file: 'x.png', target: Int32Array.of(1) },
    ]);
    expect([lengths, rows.length]).toEqual([[6, 9], 2]);
  });

  it.each<[string, EmbeddingLoss | null, object, object]>([
    ['has 0 negatives, but the first row has 1', null, { negatives: ['c'] }, {}],
    ['Either all rows have a "score", or none', null, {}, { score: 1 }],
    ['either a "score" or negatives', null, { score: 1, negatives: ['c'] }, {}],
    ['CoSENTLoss needs a "score"', 'CoSENTLoss', {}, {}],
    ['uses no "score"', 'MultipleNegativesRankingLoss', { score: 1 }, {}],
    ['can have no "weight"', 'CoSENTLoss', { score: 1, weight: 2 }, {}],
  ])('of a pair must be like those of the others: %s', (message, pair_loss, first, second) => {
    const rows = [first, second].map((own, i): Row => ({
      kind: 'pair',
      line: i + 1,
      anchor: 'a',
      positive: 'b',
      ...own,
    }));
    const settings = { max_length: 9, labels: null, has_types: true, image_length: 1 };
    const { problems } = tokenizeTaskRows('f', rows, {
      ...settings,
      tokenizer: letters,
      pair_loss,
    });
    expect(problems.map((own) => own.message).join()).toContain(message);
  });

  it('of words lose the tags of words that are cut, and of words without tokens', () => {
    const row: Row = {
      kind: 'tagged',
      line: 1,
      tokens: ['ab', '', 'c', 'd'],
      tags: ['x', 'y', 'y', 'x'],
    };
    const labels = (max_length: number) => {
      const [example] = tokenized([row], max_length).examples;
      return example?.kind === 'tokens' ? [...example.labels] : [];
    };
    const encoded = labels(99).filter((label) => label !== -100);
    expect(encoded).toEqual([0, ...(encoded.length === 4 ? [1] : []), 1, 0]);
    expect(labels(4)).toHaveLength(4);
    expect(labels(4).at(-1)).toBe(-100);
  });

  it('that have no labels are an error at their line', () => {
    const { problems, examples } = tokenized([{ kind: 'text', line: 4, text: 'a' }], 9);
    expect(examples).toEqual([]);
    expect(problems).toMatchObject([
      { severity: 'error', message: 'A row of kind text has no labels.', place: { line: 4 } },
    ]);
  });
});
