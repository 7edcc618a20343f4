import type { TensorRow } from '../../src/shared/pages/inspect/protocol';
import { inModelOrder } from '../../src/shared/modelOrder';
import { filterRows, type TableSorting } from '../shared/sorting';

export const TENSOR_COLUMNS = ['name', 'dtype', 'shape', 'numbers', 'bytes'] as const;
export type TensorColumn = (typeof TENSOR_COLUMNS)[number];

/** A column of null: the model's order. */
export type TensorSorting = TableSorting<TensorColumn | null>;

/** How many numbers a tensor holds. */
export const numbersIn = ({ shape }: Pick<TensorRow, 'shape'>): number =>
  shape.reduce((product, side) => product * side, 1);

const byNumber = new Intl.Collator('en', { numeric: true });

/** Tensors whose name contains every word of the filter, sorted. */
export function sortedTensors(
  tensors: readonly TensorRow[],
  { column, descending }: TensorSorting,
  filter: string,
): TensorRow[] {
  const found = filterRows(tensors, filter, ({ name }) => name);
  if (column === null) return found.sort((a, b) => inModelOrder(a.name, b.name));
  const sign = descending ? -1 : 1;
  return found.sort((a, b) => sign * compareTensors(a, b, column));
}

function compareTensors(a: TensorRow, b: TensorRow, column: TensorColumn): number {
  switch (column) {
    case 'name':
      return byNumber.compare(a.name, b.name);
    case 'dtype':
      return byNumber.compare(a.dtype, b.dtype);
    case 'bytes':
      return a.bytes - b.bytes;
    case 'shape':
    case 'numbers':
      return numbersIn(a) - numbersIn(b);
  }
}
