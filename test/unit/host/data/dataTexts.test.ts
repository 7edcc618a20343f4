import { expect, it } from 'vitest';
import { dataSummary, rowMarksOf, dataStatus } from '../../../../src/host/data/dataTexts';
import type { CheckedDataset } from '../../../../src/shared/checkedRecipe';

const dataset: CheckedDataset = {
  path: '/w/train.jsonl',
  problems: [
    { severity: 'warning', message: 'odd', place: { file: '/w/train.jsonl', line: 9 } },
    { severity: 'error', message: 'bad', place: { file: '/w/train.jsonl', line: 3 } },
  ],
  cut: [{ line: 4, length: 600, lost: 88 }],
  duplicates: [{ line: 7, first: 2 }],
  duplicate_rows: 1,
  skipped_rows: 0,
  excluded_rows: 0,
  statistics: {
    examples: 1500,
    tokens: 60_000,
    labelled_tokens: 15_000,
    longest: 600,
    truncated: 1,
    sequences: 1,
  },
  lengths: [
    { from: 0, to: 99, rows: 1000 },
    { from: 100, to: 199, rows: 1 },
  ],
};
const fine = {
  ...dataset,
  problems: [],
  cut: [],
  duplicates: [],
  duplicate_rows: 0,
  statistics: { ...dataset.statistics!, truncated: 0 },
};

const limits = { max_length: 512, limit: 512, problems: [] };

it('marks rows, errors first, with the number of truncated tokens', () => {
  expect(
    rowMarksOf(dataset, limits).map(({ line, code, severity, message }) => [
      line,
      code,
      severity,
      message,
    ]),
  ).toEqual([
    [3, 'row', 'error', 'bad'],
    [9, 'row', 'warning', 'odd'],
    [
      4,
      'cut',
      'warning',
      'The row is truncated to max_length = 512: 88 of its 600 tokens are lost.',
    ],
    [7, 'duplicate', 'warning', 'Duplicate of line 2.'],
  ]);
});

it('names the limit of the model where it is below max_length', () => {
  const cut = rowMarksOf({ ...fine, cut: dataset.cut }, { max_length: 4096, limit: 512 });
  expect(cut.map(({ message }) => message)).toEqual([
    'The row is truncated to 512 tokens, the most that the model supports: 88 of its 600 tokens are lost.',
  ]);
});

it('limits the number of marks, and counts the others', () => {
  const marks = rowMarksOf(
    { ...fine, duplicates: Array.from({ length: 1000 }, (_, i) => ({ line: i + 2, first: 1 })) },
    limits,
  );
  expect(marks).toHaveLength(501);
  expect(marks.at(-1)!.message).toBe('500 more rows have problems.');
  const counted = rowMarksOf({ ...fine, duplicate_rows: 2000 }, limits);
  expect(counted.map(({ message }) => message)).toEqual(['2000 more rows have problems.']);
});

it('summarizes the data or the number of errors in the status bar', () => {
  expect(dataStatus([fine], 'causal_lm')).toBe('1,500 examples · 60K tokens, 25% trained on');
  expect(dataStatus([fine], 'seq_cls')).toBe('1,500 examples · 60K tokens');
  expect(dataStatus([fine, dataset], 'causal_lm')).toBe('1 error in the data');
  expect(dataStatus([{ ...fine, statistics: null }], 'causal_lm')).toBe('');
});

it('shows the lengths of rows in the tooltip', () => {
  const card = dataSummary({
    task: 'causal_lm',
    base: 'tiny',
    ...limits,
    datasets: [dataset],
  }).markdown;
  expect(card).toContain('- 15,000 of them are trained on (25%)');
  expect(card).toContain(`   0–99 ${'█'.repeat(24)} 1,000\n100–199 █ 1`);
  expect(
    dataSummary({
      task: 'causal_lm',
      base: null,
      ...limits,
      datasets: [{ ...fine, statistics: null, lengths: [] }],
    }).markdown,
  ).toContain('Tokens are not counted');
});

it('shows the names of files and bases in the tooltip as text', () => {
  const { markdown } = dataSummary({
    task: 'causal_lm',
    base: '![x](https://evil.example/x.png)',
    ...limits,
    datasets: [{ ...dataset, path: '/w/[a](command:b).jsonl' }],
  });
  expect(markdown).toContain('\\[a\\](command:b).jsonl');
  expect(markdown).toContain('!\\[x\\](https:\\//evil.example/x.png)');
});
