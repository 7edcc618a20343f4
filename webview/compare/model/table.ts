import { filterRows, type TableSorting } from '../../shared/sorting';
import type { ModuleRow } from './modules';

export const MODULE_COLUMNS = [
  'path',
  'rank',
  'norm_a',
  'norm_b',
  'cosine',
  'difference',
  'used_a',
  'used_b',
  'left',
  'right',
] as const;
export type ModuleColumn = (typeof MODULE_COLUMNS)[number];
export type NumberColumn = Exclude<ModuleColumn, 'path'>;

const VALUES: Readonly<Record<NumberColumn, (row: ModuleRow) => number | null>> = {
  rank: (m) => Math.max(m.a?.r ?? 0, m.b?.r ?? 0),
  norm_a: (m) => m.a?.norm ?? null,
  norm_b: (m) => m.b?.norm ?? null,
  cosine: (m) => m.cosine,
  difference: (m) => m.difference,
  used_a: (m) => m.a?.effective_rank ?? null,
  used_b: (m) => m.b?.effective_rank ?? null,
  left: (m) => m.left?.whole ?? null,
  right: (m) => m.right?.whole ?? null,
};

/** The number of a column; null if the module has none. */
export const columnValue = (row: ModuleRow, column: NumberColumn): number | null =>
  VALUES[column](row);

export type ModuleSorting = TableSorting<ModuleColumn>;

/**
 * Modules whose path contains every word of the filter, sorted. Modules without a value come last;
 * equal ones stay in the order of their layers.
 */
export function sortedModules(
  rows: readonly ModuleRow[],
  { column, descending }: ModuleSorting,
  filter: string,
): ModuleRow[] {
  const found = filterRows(rows, filter, ({ path }) => path);
  if (column === 'path') return descending ? found.reverse() : found;
  const sign = descending ? -1 : 1;
  return found.sort((x, y) => {
    const [a, b] = [columnValue(x, column), columnValue(y, column)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * (a - b);
  });
}
