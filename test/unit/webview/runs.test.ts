import { describe, expect, it } from 'vitest';
import { asRunsPageState, type TableRow } from '../../../src/shared/pages/runs/protocol';
import { RUN_COLUMN_IDS, isNumberColumn } from '../../../src/shared/runColumns';
import { arrangeTable, bestOf } from '../../../webview/runs/model/arrange';

const valuesOf = <T>(ids: readonly string[], value: T) =>
  Object.fromEntries(ids.map((id) => [id, value]));

const row = (
  name: string,
  r: number | null,
  loss: number | null,
  tags: readonly string[] = [],
): TableRow => ({
  dir: name,
  name,
  tags: [...tags],
  numbers: {
    ...(valuesOf(RUN_COLUMN_IDS.filter(isNumberColumn), null) as TableRow['numbers']),
    r,
    loss,
  },
  texts: valuesOf(
    RUN_COLUMN_IDS.filter((id) => !isNumberColumn(id)),
    '',
  ) as TableRow['texts'],
  search: name,
});
const rows = [
  row('a', 2, 0.5, ['x', 'y']),
  row('b', 10, 0.3, ['y']),
  row('c', null, null),
  row('d', 2, 0.4),
];
const names = (changes: object) =>
  arrangeTable(rows, { ...asRunsPageState({})!, ...changes }).map((group) => [
    group.value,
    group.rows.map(({ name }) => name).join(''),
  ]);

describe('the table of runs', () => {
  it('sorts by numbers and texts, with unknown ones last', () => {
    expect(names({ sorting: { column: 'loss', descending: false } })).toEqual([['', 'bdac']]);
    expect(names({ sorting: { column: 'loss', descending: true } })).toEqual([['', 'adbc']]);
    expect(names({ sorting: { column: 'name', descending: true } })).toEqual([['', 'dcba']]);
  });

  it('groups by rank and tag, with those without one last', () => {
    const sorting = { column: 'name', descending: false };
    expect(names({ sorting, group: 'r' })).toEqual([
      ['r2', 'ad'],
      ['r10', 'b'],
      ['', 'c'],
    ]);
    expect(names({ sorting, group: 'tags' })).toEqual([
      ['#x', 'a'],
      ['#y', 'ab'],
      ['', 'cd'],
    ]);
  });

  it('filters by numbers', () => {
    expect(names({ filter: 'loss<0.45 r<=2' })).toEqual([['', 'd']]);
  });

  it('names the lowest loss, or the best score that all runs were chosen by', () => {
    expect(bestOf(rows)).toEqual({ metric: 'loss', value: 0.3 });
    expect(bestOf([rows[2]!])).toBeNull();
    const scored = rows.map((own, i) => ({
      ...own,
      numbers: { ...own.numbers, score: [0.5, 0.75, null, 0.25][i]! },
      texts: { ...own.texts, metric: 'accuracy' },
    }));
    expect(bestOf(scored)).toEqual({ metric: 'accuracy', value: 0.75 });
    expect(bestOf([...scored, rows[0]!])).toEqual({ metric: 'loss', value: 0.3 });
  });
});
