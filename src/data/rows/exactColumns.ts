import { mayChange, parseExactly } from '../../shared/exactJson';
import { asPlainObject } from '../../shared/exactValues';
import { isObject } from '../../shared/values';
import type { ColumnNames } from '../../shared/datasetSources';
import { renamed } from './columnNames';
import type { Columns } from './columns';

/** Columns that templates print, with all that is in them. */
const PRINTED: readonly string[] = ['tools', 'functions', 'documents', 'chat_template_kwargs'];
const MESSAGES: readonly string[] = [
  'messages',
  'conversations',
  'prompt',
  'completion',
  'chosen',
  'rejected',
];

/**
 * The columns of a row as Python reads them, so that a template prints the same: 1.0 is not 1, and
 * keys keep their order. Only rows that hold more than texts are parsed again.
 *
 * @param text The JSON of the row, which is valid.
 * @param names What columns of other names are read as.
 * @throws RangeError where it nests too deeply.
 */
export function exactColumns(columns: Columns, text: string, names: ColumnNames = {}): Columns {
  const isPrinted =
    PRINTED.some((key) => key in columns) || MESSAGES.some((key) => holdsMore(columns[key]));
  if (!isPrinted || !mayChange(text)) return columns;
  const exact = renamed(asPlainObject(parseExactly(text)) as Columns, names);
  const kept = [...PRINTED, ...MESSAGES].filter((key) => key in columns);
  return { ...columns, ...Object.fromEntries(kept.map((key) => [key, exact[key]])) };
}

/** Whether messages hold more than texts. */
const holdsMore = (messages: unknown): boolean =>
  Array.isArray(messages) &&
  messages.some(
    (item) => isObject(item) && Object.values(item).some((value) => typeof value !== 'string'),
  );
