import * as v from 'valibot';
import { parsed } from '../../parsed';
import { ThumbnailSchema } from '../thumbnail';

// The messages between the page that shows a dataset and its host. Both ends check them. Rows are
// counted from 0 in the order of the file; `number` is what people call a row by: its line, from 1,
// or its place in a file without lines.

const text = v.string();
const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

/** Where an image stands in a text, and which of the row's images it is. */
const ShownImageSchema = v.object({ at: index, end: index, image: index });
export type ShownImage = v.InferOutput<typeof ShownImageSchema>;

/** What one side of a chat says, or a column of a row of another kind. */
const TurnSchema = v.object({ role: text, text, images: v.optional(v.array(ShownImageSchema)) });
export type Turn = v.InferOutput<typeof TurnSchema>;

/**
 * A row in the grid. `turns`: the first and the last of a chat, shortened; of a faulty row, its
 * text. `messages`: how many there are. `length`: in characters. `tokens`: null where they are not
 * counted. `twin`, `like`: the number of an earlier row with the same content, or nearly the same.
 */
const RowSchema = v.object({
  row: index,
  number: index,
  turns: v.array(TurnSchema),
  messages: index,
  length: index,
  tokens: v.nullable(index),
  isCut: v.boolean(),
  fault: v.nullable(text),
  twin: v.nullable(index),
  like: v.nullable(index),
  isExcluded: v.boolean(),
});
export type DataRow = v.InferOutput<typeof RowSchema>;

export const PIECE_KINDS = ['learnt', 'context', 'cut'] as const;
export type PieceKind = (typeof PIECE_KINDS)[number];

/** Consecutive tokens of one kind, as text. */
const PieceSchema = v.object({ kind: v.picklist(PIECE_KINDS), text, tokens: index });
export type Piece = v.InferOutput<typeof PieceSchema>;

/** A text of a row that can be edited, and where it is in the row's JSON. */
const FieldSchema = v.object({ path: v.array(v.union([text, index])), value: text });
export type Field = v.InferOutput<typeof FieldSchema>;

/**
 * A row in full. `pieces`: null without a base, or where the row cannot be tokenized. `raw`: its
 * JSON; `hash`: what it is known by. `isShortened`: its texts are too long to be shown in full.
 */
const DetailSchema = v.object({
  row: index,
  number: index,
  turns: v.array(TurnSchema),
  pieces: v.nullable(v.array(PieceSchema)),
  problems: v.array(v.object({ severity: v.picklist(['error', 'warning']), message: text })),
  fields: v.array(FieldSchema),
  raw: text,
  hash: text,
  length: index,
  isShortened: v.boolean(),
  isExcluded: v.boolean(),
});
export type RowDetail = v.InferOutput<typeof DetailSchema>;

export const ROW_FILTERS = ['all', 'faults', 'twins', 'near', 'cut', 'excluded'] as const;
export type RowFilter = (typeof ROW_FILTERS)[number];

/** Which rows are shown. */
const WantedSchema = v.object({
  filter: v.picklist(ROW_FILTERS),
  text,
  isPattern: v.boolean(),
  matchCase: v.boolean(),
});
export type WantedRows = v.InferOutput<typeof WantedSchema>;

/** Work on all rows, which takes a while. */
export const DATA_JOBS = ['count', 'facts', 'find', 'tokens', 'near', 'leaks', 'split'] as const;
export type DataJobKind = (typeof DATA_JOBS)[number];

const BinSchema = v.object({ from: index, to: index, rows: index });
const CountSchema = v.object({ name: text, count: index });

/**
 * `counts`: how many rows each filter has; null where that is not known yet. `lengths`: in
 * characters, or in tokens where all are counted.
 */
const StatisticsSchema = v.object({
  rows: index,
  lengthUnit: v.picklist(['characters', 'tokens']),
  lengths: v.array(BinSchema),
  median: index,
  longest: index,
  roles: v.array(CountSchema),
  scripts: v.array(CountSchema),
  faults: v.array(CountSchema),
});
export type DataStatistics = v.InferOutput<typeof StatisticsSchema>;

/** A row of the validation file, and the row here that it equals or resembles. */
const LeakSchema = v.object({ number: index, like: index, likeness: share });
export type Leak = v.InferOutput<typeof LeakSchema>;

const DraftSchema = v.object({ id: index, turns: v.array(TurnSchema), fault: v.nullable(text) });
export type Draft = v.InferOutput<typeof DraftSchema>;

const filterCounts = v.object({
  all: v.nullable(index),
  faults: v.nullable(index),
  twins: v.nullable(index),
  near: v.nullable(index),
  cut: v.nullable(index),
  excluded: v.nullable(index),
});
export type FilterCounts = v.InferOutput<typeof filterCounts>;

/** From the host. */
export const DataHostMessageSchema = v.variant('kind', [
  /** `readOnly`: why rows cannot be edited; null: they can. `base`: whose tokens are shown. */
  v.object({
    kind: v.literal('dataset'),
    name: text,
    format: text,
    bytes: index,
    unit: v.picklist(['line', 'row']),
    readOnly: v.nullable(text),
    base: v.nullable(text),
    recipe: v.nullable(text),
    maxLength: v.nullable(index),
    validation: v.nullable(text),
    canDraft: v.boolean(),
  }),
  /**
   * `view`: what rows are asked for with; another one has other rows. `version`: another one says
   * other things of them. `total`: rows of this view. `undo`: how many actions can be undone.
   */
  v.object({
    kind: v.literal('progress'),
    view: index,
    version: index,
    total: index,
    isComplete: v.boolean(),
    counts: filterCounts,
    jobs: v.array(v.object({ job: v.picklist(DATA_JOBS), done: share })),
    undo: index,
  }),
  v.object({
    kind: v.literal('rows'),
    view: index,
    version: index,
    from: index,
    rows: v.array(RowSchema),
  }),
  v.object({ kind: v.literal('detail'), detail: v.nullable(DetailSchema) }),
  /** Of an image of the opened row. */
  v.object({ kind: v.literal('thumbnail'), row: index, image: index, thumbnail: ThumbnailSchema }),
  v.object({ kind: v.literal('statistics'), statistics: StatisticsSchema }),
  v.object({
    kind: v.literal('leaks'),
    file: text,
    equal: index,
    near: index,
    rows: index,
    listed: v.array(LeakSchema),
  }),
  v.object({ kind: v.literal('drafts'), drafts: v.array(DraftSchema), isWriting: v.boolean() }),
  /** What an edit, a search or a job came to; an error stays until the next action. */
  v.object({ kind: v.literal('said'), message: text, isError: v.boolean() }),
  v.object({ kind: v.literal('saved') }),
  v.object({ kind: v.literal('fault'), message: text }),
]);
export type DataHostMessage = v.InferOutput<typeof DataHostMessageSchema>;

/** From the page. */
const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.literal('rows'), view: index, from: index, count: index }),
  v.object({ kind: v.literal('open'), row: v.nullable(index) }),
  v.object({ kind: v.literal('find'), wanted: WantedSchema }),
  v.object({ kind: v.literal('start'), job: v.picklist(['tokens', 'near', 'leaks', 'split']) }),
  v.object({ kind: v.literal('stop'), job: v.picklist(DATA_JOBS) }),
  v.object({
    kind: v.literal('edit'),
    row: index,
    hash: text,
    fields: v.array(FieldSchema),
    raw: v.nullable(text),
  }),
  v.object({ kind: v.literal('exclude'), row: index, isExcluded: v.boolean() }),
  v.object({ kind: v.literal('excludeShown'), isExcluded: v.boolean() }),
  v.object({ kind: v.literal('undo') }),
  v.object({ kind: v.literal('openFile'), row: index }),
  v.object({ kind: v.literal('chooseBase') }),
  v.object({ kind: v.literal('train') }),
  v.object({ kind: v.literal('draft') }),
  v.object({ kind: v.literal('stopDraft') }),
  v.object({ kind: v.literal('keepDraft'), id: index, isKept: v.boolean() }),
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type DataPageMessage = v.InferOutput<typeof PageMessageSchema>;

/**
 * What VS Code keeps of the page through reloads. `source`: the folder or dataset on the Hub that
 * the file is of, as JSON; null: none.
 */
const PageStateSchema = v.object({
  file: text,
  source: v.optional(v.nullable(text), null),
  recipe: v.nullable(text),
  base: v.nullable(text),
});
export type DataPageState = v.InferOutput<typeof PageStateSchema>;

/** These return undefined for values that do not fit. */
export const asDataHostMessage = parsed(DataHostMessageSchema);
export const asDataPageMessage = parsed(PageMessageSchema);
export const asDataPageState = parsed(PageStateSchema);
