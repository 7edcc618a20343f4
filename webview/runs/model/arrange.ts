import type {
  RunsPageState,
  TableGrouping,
  TableRow,
} from '../../../src/shared/pages/runs/protocol';
import { isBestMetric, isBetter, type BestMetric } from '../../../src/shared/bestMetric';
import { isNumberColumn, type RunColumnId } from '../../../src/shared/runColumns';
import { fitsFilter, parseRunFilter } from '../../../src/shared/runFilter';
import type { TableSorting } from '../../shared/sorting';

/** Rows under a common value; '' for those without one. */
export interface TableGroup {
  readonly value: string;
  readonly rows: readonly TableRow[];
}

/** The rows that fit the filter, in their groups; a run with two tags is in both groups. */
export function arrangeTable(
  rows: readonly TableRow[],
  { filter, group, sorting }: RunsPageState,
): readonly TableGroup[] {
  const parsed = parseRunFilter(filter);
  const shown = sortRows(
    rows.filter((row) => fitsFilter(row, parsed)),
    sorting,
  );
  if (group === 'none') return [{ value: '', rows: shown }];
  const groups = new Map<string, TableRow[]>();
  for (const row of shown)
    for (const value of valuesOf(row, group))
      groups.set(value, [...(groups.get(value) ?? []), row]);
  return [...groups]
    .map(([value, members]) => ({ value, rows: members }))
    .sort(
      (a, b) => Number(a.value === '') - Number(b.value === '') || compareTexts(a.value, b.value),
    );
}

function valuesOf(row: TableRow, group: Exclude<TableGrouping, 'none'>): readonly string[] {
  switch (group) {
    case 'r':
      return [row.numbers.r === null ? '' : `r${row.numbers.r}`];
    case 'tags':
      return row.tags.length === 0 ? [''] : row.tags.map((tag) => `#${tag}`);
    default:
      return [row.texts[group]];
  }
}

/** Unknown values come last in either order. */
function sortRows(
  rows: readonly TableRow[],
  { column, descending }: TableSorting<RunColumnId | 'name'>,
): TableRow[] {
  const sign = descending ? -1 : 1;
  const order = (a: TableRow, b: TableRow): number => {
    if (column !== 'name' && isNumberColumn(column)) {
      const [x, y] = [a.numbers[column], b.numbers[column]];
      if (x === null || y === null) return Number(x === null) - Number(y === null);
      return sign * (x - y);
    }
    const [x, y] = column === 'name' ? [a.name, b.name] : [a.texts[column], b.texts[column]];
    if (x === '' || y === '') return Number(x === '') - Number(y === '');
    return sign * compareTexts(x, y);
  };
  return rows.toSorted(order);
}

/** r2 before r10. */
const compareTexts = (a: string, b: string): number =>
  a.localeCompare(b, undefined, { numeric: true });

/** The best of some rows by the score that they share, else by the loss; null without any. */
export function bestOf(
  rows: readonly TableRow[],
): { readonly metric: BestMetric; readonly value: number } | null {
  const name = rows[0]?.texts.metric;
  const isShared = isBestMetric(name) && rows.every(({ texts }) => texts.metric === name);
  const metric = isShared ? name : 'loss';
  const values = rows
    .map(({ numbers }) => (metric === 'loss' ? numbers.loss : numbers.score))
    .filter((value) => value !== null);
  if (values.length === 0) return null;
  return { metric, value: values.reduce((a, b) => (isBetter(b, a, metric) ? b : a)) };
}
