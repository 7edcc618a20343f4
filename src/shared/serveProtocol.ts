import * as v from 'valibot';
import { TemplateVariablesSchema } from './chatVariables';
import type { SerializedError } from './errors';
import { parsed } from './parsed';

// The messages of `lora serve`, one JSON object per line. It keeps a base and its adapters in
// memory and answers prompts with them.

const number = v.pipe(v.number(), v.finite());

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
});
export type AnswerSettings = v.InferOutput<typeof AnswerSettingsSchema>;

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
    }
  /** `id`: null if the error does not belong to a request. */
  | { readonly kind: 'error'; readonly id: string | null; readonly error: SerializedError };
