import * as v from 'valibot';
import { described, int, path, positive } from './schemaParts';

/** The columns that rows can have, by the names that this program reads. */
export const COLUMN_TARGETS = [
  'messages',
  'conversations',
  'prompt',
  'completion',
  'chosen',
  'rejected',
  'instruction',
  'input',
  'output',
  'history',
  'text',
  'text_pair',
  'image',
  'label',
  'labels',
  'tokens',
  'tags',
  'anchor',
  'positive',
  'negative',
  'query',
  'document',
  'score',
  'scores',
  'weight',
  'margin',
  'input_ids',
  'attention_mask',
  'system',
  'tools',
  'functions',
  'documents',
  'chat_template_kwargs',
] as const;
export type ColumnTarget = (typeof COLUMN_TARGETS)[number];

/** Names of columns in the data, by the names that this program reads. */
export type ColumnNames = { readonly [Target in ColumnTarget]?: string | undefined };

const columnName = () =>
  v.optional(
    described(
      v.pipe(v.string(), v.minLength(1, 'must be the name of a column')),
      'The name that this column has in the data.',
    ),
  );
const columnEntries = v.entriesFromList(COLUMN_TARGETS, columnName());

/** The key "columns". */
export const ColumnsSchema = described(
  v.strictObject(columnEntries),
  'Maps column names of a row format to the names in the data: ' +
    '{"prompt": "question", "completion": "answer"}.',
);

const SourceSchema = v.strictObject({
  path: described(
    path(),
    'A file with rows (.jsonl, .json, .csv, .tsv, .parquet, also packed as .gz or .zst), a ' +
      'folder of such files, or a dataset on the Hub: hf://owner/name, with @revision if need be.',
  ),
  config: v.optional(described(v.string(), 'The configuration (subset) of a dataset on the Hub.')),
  split: v.optional(
    described(v.string(), 'The split of a dataset on the Hub. Default: train, or the only one.'),
  ),
  weight: v.optional(
    described(
      positive(),
      'How often each of its examples is drawn in an epoch: 3: three times; 0.5: half of them, ' +
        'the other half in the next epoch. Default: 1.',
    ),
  ),
  rows: v.optional(described(int(1), 'Only the first rows are read, this many. Default: all.')),
  columns: v.optional(ColumnsSchema),
});

const RULE =
  'must be a path, an object such as {"path": "a.jsonl", "weight": 3}, or a list of them';
const MOST_SOURCES = 100;

/** The key "dataset": a path, or one or several sources. */
export const DatasetSchema = v.union(
  [
    path(),
    SourceSchema,
    v.pipe(
      v.array(
        v.union(
          [path(), SourceSchema],
          'must be a path, or an object such as {"path": "a.jsonl", "weight": 3, "rows": 1000}',
        ),
      ),
      v.minLength(1, 'must name at least one source'),
      v.maxLength(MOST_SOURCES, `must name at most ${MOST_SOURCES} sources`),
    ),
  ],
  RULE,
);
export type DatasetSetting = v.InferOutput<typeof DatasetSchema>;

/** One source of rows, with all its settings. */
export interface DatasetSource {
  readonly path: string;
  readonly config: string | null;
  readonly split: string | null;
  readonly weight: number;
  /** The first rows only; null: all. */
  readonly rows: number | null;
  readonly columns: ColumnNames;
}

const HUB = 'hf://';

/** Whether a source is a dataset on the Hub. */
export const isHubSource = (file: string): boolean => file.startsWith(HUB);

type NamedSource = Exclude<DatasetSetting, readonly unknown[]>;

const listOf = (dataset: DatasetSetting): readonly NamedSource[] =>
  Array.isArray(dataset) ? dataset : [dataset];

/**
 * The sources that the key "dataset" names. `columns`: the recipe's, for sources without columns of
 * their own.
 */
export function sourcesOf(dataset: DatasetSetting, columns: ColumnNames = {}): DatasetSource[] {
  return listOf(dataset).map((source) => {
    const given = typeof source === 'string' ? { path: source } : source;
    const { config = null, split = null, weight = 1, rows = null } = given;
    return {
      path: given.path,
      config,
      split,
      weight,
      rows,
      columns: given.columns ?? columns,
    };
  });
}

/** The paths that the key "dataset" names. */
export const pathsOf = (dataset: DatasetSetting): string[] =>
  listOf(dataset).map((source) => (typeof source === 'string' ? source : source.path));

/** The same dataset with other paths, in the order of `pathsOf`. */
export function withPaths(dataset: DatasetSetting, paths: readonly string[]): DatasetSetting {
  const changed = listOf(dataset).map((source, i) =>
    typeof source === 'string' ? paths[i]! : { ...source, path: paths[i]! },
  );
  return Array.isArray(dataset) ? changed : changed[0]!;
}

/** A dataset in one line: its paths. */
export const describeDataset = (dataset: DatasetSetting): string => pathsOf(dataset).join(' + ');

/** The path of a dataset that has just one; of several, the first. */
export const firstPathOf = (dataset: DatasetSetting): string => pathsOf(dataset)[0]!;

/** A display name of a source, unique among the sources of a recipe. */
export function sourceName({
  path: file,
  config,
  split,
}: Pick<DatasetSource, 'path' | 'config' | 'split'>): string {
  const parts = [config, split].filter((part) => part !== null);
  return parts.length === 0 ? file : `${file} (${parts.join(', ')})`;
}
