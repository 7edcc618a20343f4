import { describe, expect, it } from 'vitest';
import type { Row } from '../../../../src/data/rows/row';
import { DuplicateFinder } from '../../../../src/data/dataset/duplicates';
import { histogram } from '../../../../src/data/dataset/examine';

const duplicatesOf = (rows: readonly Row[]) => {
  const finder = new DuplicateFinder();
  for (const row of rows) finder.add(row);
  return finder.listed;
};

describe('duplicate rows', () => {
  it('are reported with their first occurrence, ignoring key order', () => {
    const row = (line: number, completion: string) =>
      ({ kind: 'completion', line, prompt: 'p', completion }) as const;
    expect(duplicatesOf([row(1, 'a'), row(2, 'b'), row(4, 'a'), row(5, 'a')])).toEqual([
      { line: 4, first: 1 },
      { line: 5, first: 1 },
    ]);
    expect(
      duplicatesOf([
        { kind: 'image', line: 1, file: 'a.png', label: 'x' },
        { kind: 'image', line: 2, file: 'a.png', label: 'x' },
      ]),
    ).toEqual([]);
  });
});

it('finds duplicates among many rows, lists the first ten thousand and counts all', () => {
  const finder = new DuplicateFinder();
  for (let line = 1; line <= 30_000; line++)
    finder.add({ kind: 'text', line, text: `row ${line % 11_000}` });
  expect([finder.count, finder.listed.length]).toEqual([19_000, 10_000]);
  expect(finder.listed[0]).toEqual({ line: 11_001, first: 1 });
  expect(finder.listed[9_999]).toEqual({ line: 21_000, first: 10_000 });
});

describe('the length histogram', () => {
  it('has at most nine bins of one round width that hold all rows', () => {
    const lengths = Array.from({ length: 1000 }, (_, i) => 7 + ((i * i) % 431));
    const bins = histogram(lengths);
    expect(bins.length).toBeLessThanOrEqual(10);
    expect(bins.reduce((sum, { rows }) => sum + rows, 0)).toBe(1000);
    expect(new Set(bins.map(({ from, to }) => to - from + 1)).size).toBe(1);
    for (const { from, to, rows } of bins)
      expect(lengths.filter((n) => n >= from && n <= to).length).toBe(rows);
  });

  it('handles one row, equal rows and no rows', () => {
    expect(histogram([5])).toEqual([{ from: 5, to: 5, rows: 1 }]);
    expect(histogram([5, 5])).toEqual([{ from: 5, to: 5, rows: 2 }]);
    expect(histogram([])).toEqual([]);
  });
});
