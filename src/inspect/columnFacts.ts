import { knownForms } from '../data/rows/readRow';
import type { Columns } from '../data/rows/columns';
import { openTable } from '../formats/tables/openTable';
import type { RawRow } from '../formats/tables/table';
import { isObject } from '../shared/values';
import type { ColumnFacts } from './questions';
import { rowFiles } from './rowFiles';

/** Rows that are shown, and characters of each of their values. */
const SHOWN_ROWS = 3;
const SHOWN_CHARACTERS = 60;
/** Columns that can be chosen from. */
const MOST_COLUMNS = 200;

/**
 * The columns of a dataset by its first rows; none where these are no objects.
 *
 * @throws LoraError('dataset') when the file cannot be read
 */
export async function columnsOf(file: string): Promise<ColumnFacts> {
  const [first] = await rowFiles(file);
  const rows = await firstRows(first!.path);
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))].slice(0, MOST_COLUMNS);
  return {
    forms: rows
      .map(knownForms)
      .reduce(
        (common, forms) => common.filter((form) => forms.includes(form)),
        knownForms(rows[0] ?? {}),
      ),
    columns: names.map((name) => ({ name, values: rows.map((row) => shown(row[name])) })),
  };
}

async function firstRows(file: string): Promise<readonly Columns[]> {
  const table = await openTable(file);
  try {
    const rows: RawRow[] = [];
    for await (const batch of table.rows()) {
      rows.push(...batch.slice(0, SHOWN_ROWS - rows.length));
      if (rows.length === SHOWN_ROWS) break;
    }
    return rows.flatMap(columnsIn);
  } finally {
    await table.close();
  }
}

function columnsIn(row: RawRow): readonly Columns[] {
  if (row.kind === 'values') return [row.values];
  if (row.kind === 'fault') return [];
  try {
    const parsed: unknown = JSON.parse(row.bytes?.toString('utf8') ?? '');
    return isObject(parsed) ? [parsed] : [];
  } catch {
    return [];
  }
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : jsonOf(value);
  const line = text
    .slice(0, 4 * SHOWN_CHARACTERS)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line;
}

/** Nothing for a column that the row does not have. */
function jsonOf(value: unknown): string {
  if (value === undefined) return '';
  return JSON.stringify(value, (_, own: unknown) => (typeof own === 'bigint' ? String(own) : own));
}
