/** How a table is sorted. */
export interface TableSorting<Column> {
  readonly column: Column;
  readonly descending: boolean;
}

/** Pressing the same column again turns the order around. */
export const nextSorting = <Column>(
  { column, descending }: TableSorting<Column | null>,
  pressed: Column,
  largestFirst: boolean,
): TableSorting<Column> => ({
  column: pressed,
  descending: column === pressed ? !descending : largestFirst,
});

/** Rows whose text contains every word of the filter, in a new array. */
export function filterRows<Row>(
  rows: readonly Row[],
  filter: string,
  textOf: (row: Row) => string,
): Row[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((row) => {
    const text = textOf(row).toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
