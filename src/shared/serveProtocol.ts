import * as v from 'valibot';
import { TemplateVariablesSchema } from './chatVariables';
import type { SerializedError } from './errors';
import { parsed } from './parsed';

// The messages of `lora serve`, one JSON object per line. It keeps a base and its adapters in
// memory and answers prompts with them.

const number = v.pipe(v.number(), v.finite());

/** The most images of one prompt. */
export const MOST_PROMPT_IMAGES = 64;
/** The most characters of them together: of two data: URLs of the greatest length. */
export const MOST_IMAGE_CHARACTERS = 16 * 2 ** 20;

/** Whether the images of a prompt can be in a message. */
export const fitInMessage = (images: readonly string[]): boolean =>
  images.reduce((sum, { length }) => sum + length, 0) <= MOST_IMAGE_CHARACTERS;

/** The images of a prompt, each an absolute path or a data: URL. */
export const PromptImagesSchema = v.pipe(
  v.array(v.string()),
  v.maxLength(MOST_PROMPT_IMAGES),
  v.check((images) => fitInMessage(images)),
);

/** A prompt, and how to answer it. */
export const AnswerSettingsSchema = v.object({
  prompt: v.string(),
  /** System message of a chat; empty: none. */
  system: v.optional(v.string(), ''),
  /** Whether the prompt goes through the base's chat template. */
  chat: v.boolean(),
  /** 0: always the most likely token. */
  temperature: v.pipe(number, v.minValue(0)),
  seed: v.pipe(number, v.integer(), v.minValue(0)),
  max_new_tokens: v.pipe(number, v.integer(), v.minValue(1)),
  /**
   * The row of the run whose earlier turns and variables stand before a chat's prompt; null: none.
   */
  row: v.optional(v.nullable(v.pipe(number, v.integer(), v.minValue(0))), null),
  /** The tools that a chat may use, as JSON; empty: none. Null: those of the row. */
  tools: v.optional(v.nullable(v.string()), null),
  /** Those of a chat's prompt. */
  images: v.optional(PromptImagesSchema, []),
});
export type AnswerSettings = v.InferOutput<typeof AnswerSettingsSchema>;

const CallSchema = v.object({
  id: v.string(),
  name: v.string(),
  /** A JSON object. */
  arguments: v.string(),
});
/** A call of a tool, with its arguments as JSON. */
export type AskedCall = v.InferOutput<typeof CallSchema>;

/** The parts of an answer: its text without calls and reasoning. */
export const AnswerPartsSchema = v.object({
  content: v.string(),
  reasoning: v.string(),
  calls: v.array(CallSchema),
  /** Whether a call begins that cannot be read. */
  faulty: v.boolean(),
});
export type AnswerParts = v.InferOutput<typeof AnswerPartsSchema>;

/** What was said since the prompt: an answer, the result of a call, a further question. */
export const TurnSchema = v.variant('role', [
  v.object({
    role: v.literal('assistant'),
    content: v.string(),
    reasoning: v.string(),
    calls: v.array(CallSchema),
  }),
  v.object({
    role: v.literal('tool'),
    tool_call_id: v.string(),
    name: v.string(),
    content: v.string(),
  }),
  v.object({ role: v.literal('user'), content: v.string() }),
]);
export type AskedTurn = v.InferOutput<typeof TurnSchema>;

const RequestSchema = v.variant('kind', [
  v.object({
    kind: v.literal('answer'),
    id: v.string(),
    settings: AnswerSettingsSchema,
    /** Index of the adapter among the arguments; null: the base alone. */
    adapter: v.nullable(v.pipe(number, v.integer(), v.minValue(0))),
    /** Factor of the adapter's update s·BA. */
    scale: v.pipe(number, v.minValue(0)),
    /** Variables for the chat template, over those of the command line. */
    chat_template_kwargs: v.optional(TemplateVariablesSchema, {}),
    /** Of a chat, since its prompt. */
    turns: v.optional(v.array(TurnSchema), []),
  }),
  /** Asks for a row of the run (--run), counted from 0. */
  v.object({ kind: v.literal('row'), index: v.pipe(number, v.integer(), v.minValue(0)) }),
  /** Stops an answer that is being written or waiting. */
  v.object({ kind: v.literal('stop'), id: v.string() }),
]);

/** A message to `lora serve`. */
export type ServeRequest = v.InferInput<typeof RequestSchema>;
/** The same as `lora serve` reads it, with its defaults. */
export type ServeMessage = v.InferOutput<typeof RequestSchema>;
/** A request for an answer. */
export type AnswerRequest = Extract<ServeMessage, { kind: 'answer' }>;

/** A request for a row. */
export type RowRequest = Extract<ServeMessage, { kind: 'row' }>;

/** A row that a run was validated on, as a question with the answer that it teaches. */
export const RowQuestionSchema = v.object({
  /** From 0. */
  index: number,
  /** Rows that can be asked. */
  count: number,
  /** In the dataset. */
  line: number,
  /** Empty: none. */
  system: v.string(),
  /** The earlier turns, and the names of the tools. */
  before: v.array(v.object({ role: v.string(), text: v.string() })),
  prompt: v.string(),
  expected: v.string(),
  /** The tools of the row, as JSON; empty: none. */
  tools: v.optional(v.string(), ''),
  images: v.optional(PromptImagesSchema, []),
  /** Whether the dataset has changed since the run. */
  changed: v.boolean(),
});
export type RowQuestion = v.InferOutput<typeof RowQuestionSchema>;

/** Parses a message to `lora serve`; undefined if it is not valid. */
export const asServeRequest = parsed(RequestSchema);

/** A message from `lora serve`. */
export type ServeEvent =
  | { readonly kind: 'progress'; readonly fraction: number }
  | { readonly kind: 'warning'; readonly message: string }
  /** The models are loaded. */
  | {
      readonly kind: 'ready';
      readonly base: string;
      readonly has_chat_template: boolean;
      /** Whether chats may have images. */
      readonly reads_images: boolean;
      readonly device: string;
    }
  | { readonly kind: 'row'; readonly row: RowQuestion }
  | { readonly kind: 'rowFailed'; readonly error: SerializedError }
  /** The next part of an answer. */
  | { readonly kind: 'text'; readonly id: string; readonly text: string }
  | {
      readonly kind: 'done';
      readonly id: string;
      readonly tokens: number;
      readonly seconds: number;
      readonly stopped: boolean;
      /** Null for what is no chat, and for an answer that was stopped before its first token. */
      readonly parts: AnswerParts | null;
      /** The prompt with the answer, as a row of a dataset: JSON. Empty without an answer. */
      readonly example: string;
    }
  /** `id`: null if the error does not belong to a request. */
  | { readonly kind: 'error'; readonly id: string | null; readonly error: SerializedError };
