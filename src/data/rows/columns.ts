import { kindOf } from './describe';
import type { RowReport } from './rowReport';

/** A row as it was parsed. */
export type Columns = Readonly<Record<string, unknown>>;

/** A column that must be text. Null: it is not, which is reported. */
export function text(columns: Columns, key: string, report: RowReport): string | null {
  const value = columns[key];
  return typeof value === 'string'
    ? value
    : report.error(`"${key}" must be text, not ${kindOf(value)}.`, key);
}

/** A column that must be text and not blank. Null: it is not, which is reported. */
export function filled(columns: Columns, key: string, report: RowReport): string | null {
  const value = text(columns, key, report);
  return value?.trim() === '' ? report.error(`"${key}" is empty.`, key) : value;
}
