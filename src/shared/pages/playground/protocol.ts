import * as v from 'valibot';
import { parsed } from '../../parsed';
import {
  AnswerPartsSchema,
  AnswerSettingsSchema,
  PromptImagesSchema,
  RowQuestionSchema,
  TurnSchema,
} from '../../serveProtocol';
import { TEXT_SCHEMA } from '../dashboard/guards';
import { ThumbnailSchema } from '../thumbnail';

// The messages between the extension host and the playground, on which a base model and its
// adapters answer side by side.

const text = v.string();
const number = v.pipe(v.number(), v.finite());
const AdapterSchema = v.object({ path: text, name: text });

export const PlaygroundHostMessageSchema = v.variant('kind', [
  /** The models that answer, and whether they are loaded. */
  v.object({
    kind: v.literal('state'),
    base: text,
    adapters: v.array(AdapterSchema),
    prompts: v.array(text),
    /** Whether rows of a run can be asked for. */
    rows: v.optional(v.boolean(), false),
    /** The tools of the run's recipe, as JSON; empty: none. */
    tools: v.optional(text, ''),
    phase: v.variant('kind', [
      v.object({ kind: v.literal('loading'), fraction: number }),
      v.object({
        kind: v.literal('ready'),
        has_chat_template: v.boolean(),
        reads_images: v.optional(v.boolean(), false),
        device: text,
      }),
      v.object({ kind: v.literal('failed'), message: text }),
    ]),
  }),
  v.object({ kind: v.literal('row'), row: RowQuestionSchema }),
  v.object({ kind: v.literal('rowFailed'), message: text }),
  v.object({ kind: v.literal('text'), id: text, text }),
  v.object({
    kind: v.literal('done'),
    id: text,
    tokens: number,
    seconds: number,
    stopped: v.boolean(),
    /** Null for what is no chat. */
    parts: v.optional(v.nullable(AnswerPartsSchema), null),
    /** The prompt with the answer, as a row of a dataset; empty without an answer. */
    example: v.optional(text, ''),
  }),
  v.object({ kind: v.literal('failed'), id: text, message: text }),
  /** The tools of a file that was chosen. */
  v.object({ kind: v.literal('tools'), tools: text }),
  /** Images for the prompt, by their paths. */
  v.object({ kind: v.literal('attached'), images: v.array(text) }),
  v.object({ kind: v.literal('thumbnail'), image: text, thumbnail: ThumbnailSchema }),
  /** Rows were appended to a file of this name. */
  v.object({ kind: v.literal('appended'), rows: number, file: text }),
]);
export type PlaygroundHostMessage = v.InferOutput<typeof PlaygroundHostMessageSchema>;
export type PlaygroundServerState = Extract<PlaygroundHostMessage, { kind: 'state' }>;

/** Characters of a pasted image as a data: URL, which stand for 24 MiB. */
export const MOST_PASTED = 32 * 2 ** 20;

const ColumnSchema = v.object({
  id: text,
  adapter: v.nullable(v.pipe(number, v.integer(), v.minValue(0))),
  scale: v.pipe(number, v.minValue(0)),
  /** Null: that of the settings. */
  seed: v.optional(v.nullable(v.pipe(number, v.integer(), v.minValue(0))), null),
  turns: v.optional(v.array(TurnSchema), []),
});

const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.picklist(['ready', 'addAdapter', 'reload']) }),
  v.object({ kind: v.picklist(['chooseTools', 'otherFile']) }),
  v.object({ kind: v.literal('chooseImages') }),
  /** An image of the clipboard or of another program, as a data: URL. */
  v.object({ kind: v.literal('pasteImage'), data: v.pipe(text, v.maxLength(MOST_PASTED)) }),
  /** The addresses of files that were dropped. */
  v.object({ kind: v.literal('dropImages'), uris: PromptImagesSchema }),
  v.object({ kind: v.literal('thumbnails'), images: PromptImagesSchema }),
  v.object({
    kind: v.literal('removeAdapter'),
    adapter: v.pipe(number, v.integer(), v.minValue(0)),
  }),
  v.object({
    kind: v.literal('ask'),
    settings: AnswerSettingsSchema,
    columns: v.array(ColumnSchema),
  }),
  v.object({ kind: v.literal('row'), index: v.pipe(number, v.integer(), v.minValue(0)) }),
  v.object({ kind: v.literal('stop'), ids: v.array(text) }),
  /** Appends a row to a dataset. */
  v.object({ kind: v.literal('append'), example: text }),
  /** Appends a row for each answer that is worse than the chosen one. */
  v.object({ kind: v.literal('prefer'), chosen: text, rejected: v.array(text) }),
  TEXT_SCHEMA,
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type PlaygroundPageMessage = v.InferOutput<typeof PageMessageSchema>;

export const MAX_SCALE = 2;

/** What the page keeps when it is reloaded. */
const PageStateSchema = v.object({
  base: text,
  adapters: v.array(text),
  settings: v.optional(AnswerSettingsSchema, {
    prompt: '',
    system: '',
    chat: true,
    temperature: 0,
    seed: 0,
    max_new_tokens: 128,
    row: null,
    tools: null,
    images: [],
  }),
  /** Of each adapter. */
  scales: v.optional(v.array(v.pipe(number, v.minValue(0), v.maxValue(MAX_SCALE))), []),
});
export type PlaygroundPageState = v.InferOutput<typeof PageStateSchema>;

/** These return undefined for values that do not fit. */
export const asPlaygroundPageMessage = parsed(PageMessageSchema);
export const asPlaygroundPageState = parsed(PageStateSchema);
