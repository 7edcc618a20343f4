import type { ModuleRow } from './modules';

export const COLUMNS = [
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
export type Column = (typeof COLUMNS)[number];

/** What a column is sorted by; null stands last, however it is sorted. */
const VALUES: Readonly<Record<Exclude<Column, 'path'>, (row: ModuleRow) => number | null>> = {
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

export const valueOf = (row: ModuleRow, column: Exclude<Column, 'path'>): number | null =>
  VALUES[column](row);

export interface Sorting {
  readonly column: Column;
  readonly descending: boolean;
}

/**
 * Rows whose path holds every word of the filter, sorted; equal ones stay in the order of their
 * layers.
 */
export function shownRows(
  rows: readonly ModuleRow[],
  { column, descending }: Sorting,
  filter: string,
): ModuleRow[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(({ path }) => words.every((word) => path.toLowerCase().includes(word)));
  const sign = descending ? -1 : 1;
  if (column === 'path') return descending ? found.reverse() : found;
  return found.sort((x, y) => {
    const [a, b] = [valueOf(x, column), valueOf(y, column)];
    return a === null || b === null ? Number(a === null) - Number(b === null) : sign * (a - b);
  });
}
