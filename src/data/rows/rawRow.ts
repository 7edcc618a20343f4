import { MAX_ROW_BYTES, type RawRow, type RowUnit } from '../../formats/tables/table';
import { readRow, readValues } from './readRow';
import type { Row } from './row';
import type { RowReport } from './rowReport';
import type { RowContext } from './settings';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A row as its file holds it. Null where it has errors or is skipped, which is reported. */
export function readRawRow(raw: RawRow, context: RowContext, unit: RowUnit): Row | null {
  switch (raw.kind) {
    case 'json': {
      const text = decodeRow(raw.bytes, context.report, unit);
      return text === null ? null : readRow(text, context);
    }
    case 'values':
      return readValues(raw.values, context);
    case 'fault':
      return context.report.error(raw.message);
  }
}

/** The text of a row of JSON; null where it has none, which is reported. */
export function decodeRow(bytes: Buffer | null, report: RowReport, unit: RowUnit): string | null {
  if (!bytes) return report.error(`The ${unit} is longer than ${MAX_ROW_BYTES / 2 ** 20} MiB.`);
  try {
    return decoder.decode(bytes);
  } catch {
    return report.error(`The ${unit} is not valid UTF-8: save the file as UTF-8.`);
  }
}

/** What a row is known by in the list of excluded rows; null: it cannot be listed. */
export function contentOfRaw(raw: RawRow): Buffer | object | null {
  if (raw.kind === 'json') return raw.bytes;
  return raw.kind === 'values' ? raw.values : null;
}
