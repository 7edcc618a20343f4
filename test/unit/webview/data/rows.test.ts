import { describe, expect, test } from 'vitest';
import type { DataRow } from '../../../../src/shared/pages/data/protocol';
import { missingRows, withRows, type KnownRows } from '../../../../webview/data/model/rows';

const row = (place: number): DataRow => ({
  row: place,
  number: place + 1,
  turns: [],
  messages: 0,
  length: 0,
  tokens: null,
  isCut: false,
  fault: null,
  twin: null,
  like: null,
  isExcluded: false,
});
const known = (from: number, count: number): KnownRows =>
  new Map(Array.from({ length: count }, (_, i) => [from + i, row(from + i)]));

describe('rows that must be asked for', () => {
  test('are the visible ones first, then those around them', () => {
    expect(missingRows(new Map(), { from: 0, count: 20 }, 1000)).toEqual({ from: 0, count: 50 });
    expect(missingRows(known(0, 25), { from: 20, count: 20 }, 1000)).toEqual({
      from: 25,
      count: 50,
    });
    expect(missingRows(known(100, 40), { from: 100, count: 20 }, 1000)).toEqual({
      from: 50,
      count: 50,
    });
    expect(missingRows(known(85, 50), { from: 100, count: 20 }, 1000)).toBeNull();
  });

  test('end with the dataset', () => {
    expect(missingRows(new Map(), { from: 980, count: 20 }, 1000)).toEqual({
      from: 980,
      count: 20,
    });
    expect(missingRows(known(0, 5), { from: 0, count: 5 }, 5)).toBeNull();
    expect(missingRows(new Map(), { from: 0, count: 0 }, 0)).toBeNull();
  });
});

test('rows that are far away are forgotten', () => {
  let rows: KnownRows = new Map();
  for (let from = 0; from < 3000; from += 50)
    rows = withRows(rows, from, [...known(from, 50).values()]);
  expect(rows.size).toBeLessThanOrEqual(1000);
  expect(rows.has(2990)).toBe(true);
  expect(rows.has(0)).toBe(false);
});
