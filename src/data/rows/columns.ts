import { kindOf } from './describe';
import type { RowReport } from './rowReport';

/** A row as it was parsed. */
export type Columns = Readonly<Record<string, unknown>>;

/** Null where it is no text, which is reported. */
export function text(columns: Columns, key: string, report: RowReport): string | null {
  const value = columns[key];
  return typeof value === 'string'
    ? value
    : report.error(`"${key}" must be text, not ${kindOf(value)}.`, key);
}

/** The same for a text that may not be empty. */
export function filled(columns: Columns, key: string, report: RowReport): string | null {
  const value = text(columns, key, report);
  return value?.trim() === '' ? report.error(`"${key}" is empty.`, key) : value;
}
