import * as v from 'valibot';
import { parsed } from '../../parsed';
import {
  isNumberColumn,
  RUN_COLUMN_IDS,
  type NumberColumnId,
  type TextColumnId,
} from '../../runColumns';
import { TEXT_SCHEMA } from '../dashboard/guards';

// The messages between the extension host and the page with the table of runs.

const text = v.string();
const entriesOf = <Id extends string, Schema>(ids: readonly string[], schema: Schema) =>
  Object.fromEntries(ids.map((id) => [id, schema])) as Record<Id, Schema>;

const TableRowSchema = v.object({
  dir: text,
  name: text,
  tags: v.array(text),
  numbers: v.object(
    entriesOf<NumberColumnId, v.NullableSchema<v.NumberSchema<undefined>, undefined>>(
      RUN_COLUMN_IDS.filter(isNumberColumn),
      v.nullable(v.number()),
    ),
  ),
  texts: v.object(
    entriesOf<TextColumnId, v.StringSchema<undefined>>(
      RUN_COLUMN_IDS.filter((id) => !isNumberColumn(id)),
      text,
    ),
  ),
  search: text,
});
/** A run in the table. */
export type TableRow = v.InferOutput<typeof TableRowSchema>;

/** All runs, the newest first. */
export const RunsHostMessageSchema = v.object({
  kind: v.literal('runs'),
  rows: v.array(TableRowSchema),
});
export type RunsHostMessage = v.InferOutput<typeof RunsHostMessageSchema>;

const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.literal('open'), dir: text }),
  v.object({ kind: v.literal('overlay'), dirs: v.array(text) }),
  TEXT_SCHEMA,
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type RunsPageMessage = v.InferOutput<typeof PageMessageSchema>;

/** By what the table can be grouped. */
export const TABLE_GROUPINGS = ['none', 'r', 'tags', 'sweep', 'base', 'dataset', 'state'] as const;
export type TableGrouping = (typeof TABLE_GROUPINGS)[number];

/** What the page keeps when it is reloaded. */
const PageStateSchema = v.object({
  columns: v.optional(v.array(v.picklist(RUN_COLUMN_IDS)), [
    'r',
    'loss',
    'steps',
    'time',
    'base',
    'dataset',
    'tags',
    'state',
    'started',
  ]),
  sorting: v.optional(
    v.object({ column: v.picklist([...RUN_COLUMN_IDS, 'name']), descending: v.boolean() }),
    { column: 'started', descending: true },
  ),
  group: v.optional(v.picklist(TABLE_GROUPINGS), 'none'),
  filter: v.optional(text, ''),
});
export type RunsPageState = v.InferOutput<typeof PageStateSchema>;

/** These return undefined for values that do not fit. */
export const asRunsPageMessage = parsed(PageMessageSchema);
export const asRunsPageState = parsed(PageStateSchema);
