import type { TensorRow } from '../../src/shared/pages/inspect/protocol';

export const COLUMNS = ['name', 'dtype', 'shape', 'numbers', 'bytes'] as const;
export type Column = (typeof COLUMNS)[number];

export interface Sorting {
  /** Null: as in the file. */
  readonly column: Column | null;
  readonly descending: boolean;
}

export const numbersOf = ({ shape }: Pick<TensorRow, 'shape'>): number =>
  shape.reduce((product, side) => product * side, 1);

const byNumber = new Intl.Collator('en', { numeric: true });

/** Rows whose name holds every word of the filter, sorted. */
export function shownTensors(
  tensors: readonly TensorRow[],
  { column, descending }: Sorting,
  filter: string,
): TensorRow[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = tensors.filter(({ name }) =>
    words.every((word) => name.toLowerCase().includes(word)),
  );
  if (column === null) return found;
  return found.sort((a, b) => (descending ? -1 : 1) * compare(a, b, column));
}

function compare(a: TensorRow, b: TensorRow, column: Column): number {
  switch (column) {
    case 'name':
      return byNumber.compare(a.name, b.name);
    case 'dtype':
      return byNumber.compare(a.dtype, b.dtype);
    case 'bytes':
      return a.bytes - b.bytes;
    default:
      return numbersOf(a) - numbersOf(b);
  }
}
