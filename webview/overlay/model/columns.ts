import { shortNames } from '../../../src/shared/sweep/recipeKeys';
import { valueText } from '../../../src/shared/sweep/valueText';
import type { TableSorting } from '../../shared/sorting';
import type { OverlayPage } from '../state';
import type { OverlayRow } from './rows';
import { compareValues } from './sweep';

/** A column of the table after the names of the runs. */
export interface OverlayColumn {
  readonly id: string;
  readonly label: string;
  readonly cell: (row: OverlayRow) => string;
  /** Ascending; what is not known comes last. */
  readonly compare: (a: OverlayRow, b: OverlayRow) => number;
}

type NumberField =
  | 'r'
  | 'place'
  | 'rung'
  | 'parameters'
  | 'best'
  | 'validation'
  | 'at'
  | 'loss'
  | 'time'
  | 'speed'
  | 'memory';

/**
 * The columns: those of the varied keys and the place for a sweep, otherwise the rank; and the
 * score that the runs are compared by, if it is not the loss.
 */
export function overlayColumns(
  { t, format, state }: OverlayPage,
  keys: readonly string[] | null,
  rows: readonly OverlayRow[],
): readonly OverlayColumn[] {
  const number = (id: NumberField, write: (value: number) => string): OverlayColumn => ({
    id,
    label: t(`column.${id}`),
    cell: (row) => write(row[id]),
    compare: (a, b) => lastOf(a[id]) - lastOf(b[id]) || 0,
  });
  const count = (value: number) => format.count(value);
  const value = (loss: number) => format.value(loss);
  const varied =
    keys === null ? [number('r', count)] : [...keyColumns(keys), number('place', count)];
  const rung = state.sweep?.tune ? [number('rung', count)] : [];
  const metric = rows[0]?.metric ?? 'loss';
  const score =
    metric === 'loss'
      ? []
      : [{ ...number('best', value), label: t('column.best', t(`series.${metric}`)) }];
  return [
    ...varied,
    ...rung,
    number('parameters', count),
    ...score,
    number('validation', value),
    number('at', count),
    number('loss', value),
    number('time', (seconds) => format.duration(seconds)),
    number('speed', (speed) => format.speed(speed)),
    number('memory', (bytes) => format.bytes(bytes)),
    {
      id: 'state',
      label: t('column.state'),
      cell: ({ state }) => t(`state.${state}`),
      compare: (a, b) => t(`state.${a.state}`).localeCompare(t(`state.${b.state}`)),
    },
  ];
}

const lastOf = (value: number): number => (Number.isNaN(value) ? Infinity : value);

const keyColumns = (keys: readonly string[]): readonly OverlayColumn[] =>
  shortNames(keys).map((label, k) => ({
    id: keys[k]!,
    label,
    cell: ({ values }) => valueText(values[k]),
    compare: (a, b) => compareValues(a.values[k], b.values[k]),
  }));

export type OverlaySorting = TableSorting<string>;

/** How the rows are sorted; null: in the order in which they come. */
export const sortingOf = (
  chosen: OverlaySorting | null,
  keys: readonly string[] | null,
): TableSorting<string | null> =>
  chosen ?? { column: keys && keys.length > 1 ? 'place' : (keys?.[0] ?? null), descending: false };

/** The rows by a column. What is not known comes last, or first where the order is turned. */
export function sortRows(
  rows: readonly OverlayRow[],
  columns: readonly OverlayColumn[],
  { column, descending }: TableSorting<string | null>,
): readonly OverlayRow[] {
  const compare =
    column === 'run'
      ? (a: OverlayRow, b: OverlayRow) => a.name.localeCompare(b.name, undefined, { numeric: true })
      : columns.find(({ id }) => id === column)?.compare;
  if (!compare) return rows;
  return [...rows].sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
}
