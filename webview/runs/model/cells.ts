import type { TableRow } from '../../../src/shared/pages/runs/protocol';
import {
  isNumberColumn,
  type NumberColumnId,
  type RunColumnId,
} from '../../../src/shared/runColumns';
import type { Formatter } from '../../shared/format';

/** A cell of the table as text. */
export function cellText(row: TableRow, column: RunColumnId, format: Formatter): string {
  return isNumberColumn(column)
    ? numberText(column, row.numbers[column] ?? NaN, format)
    : row.texts[column];
}

function numberText(column: NumberColumnId, value: number, format: Formatter): string {
  switch (column) {
    case 'loss':
    case 'score':
    case 'validation':
    case 'training':
      return format.value(value);
    case 'suites':
      return format.percent(value);
    case 'rate':
      return format.rate(value);
    case 'time':
      return format.duration(value);
    case 'started':
      return Number.isFinite(value) ? format.time(new Date(value).toISOString()) : '';
    case 'alpha':
      return format.value(value);
    case 'r':
    case 'steps':
    case 'batch':
    case 'parameters':
      return format.count(value);
  }
}

/** Pressed for the first time, these columns show their largest values first. */
export const largestFirst = (column: RunColumnId | 'name'): boolean =>
  column === 'started' ||
  column === 'steps' ||
  column === 'time' ||
  column === 'parameters' ||
  column === 'score' ||
  column === 'suites';
