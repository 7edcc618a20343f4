import * as v from 'valibot';
import type { SerializedError } from './errors';
import { parsed } from './parsed';

// What `lora serve` reads and writes, one JSON object a line: questions to a base and its adapters,
// which stay in memory.

const number = v.pipe(v.number(), v.finite());

/** The settings of an answer. */
export const AnswerSettingsSchema = v.object({
  prompt: v.string(),
  /** What stands before the prompt in a chat; empty: nothing. */
  system: v.optional(v.string(), ''),
  /** Through the base's chat template. */
  chat: v.boolean(),
  /** 0: the likeliest token always. */
  temperature: v.pipe(number, v.minValue(0)),
  seed: v.pipe(number, v.integer(), v.minValue(0)),
  max_new_tokens: v.pipe(number, v.integer(), v.minValue(1)),
});
export type AnswerSettings = v.InferOutput<typeof AnswerSettingsSchema>;

const RequestSchema = v.variant('kind', [
  v.object({
    kind: v.literal('answer'),
    id: v.string(),
    settings: AnswerSettingsSchema,
    /** By its place in the arguments; null: the base alone. */
    adapter: v.nullable(v.pipe(number, v.integer(), v.minValue(0))),
    /** Times that s·BA is added. */
    scale: v.pipe(number, v.minValue(0)),
  }),
  /** Ends an answer under way, or one that waits. */
  v.object({ kind: v.literal('stop'), id: v.string() }),
]);

export type ServeRequest = v.InferOutput<typeof RequestSchema>;
export type AnswerRequest = Extract<ServeRequest, { kind: 'answer' }>;

export const asServeRequest = parsed(RequestSchema);

export type ServeEvent =
  | { readonly kind: 'progress'; readonly fraction: number }
  | { readonly kind: 'warning'; readonly message: string }
  /** Everything is in memory. */
  | {
      readonly kind: 'ready';
      readonly base: string;
      readonly has_chat_template: boolean;
      readonly device: string;
    }
  /** More of an answer. */
  | { readonly kind: 'text'; readonly id: string; readonly text: string }
  | {
      readonly kind: 'done';
      readonly id: string;
      readonly tokens: number;
      readonly seconds: number;
      readonly stopped: boolean;
    }
  /** `id` null: nothing can be answered at all. */
  | { readonly kind: 'error'; readonly id: string | null; readonly error: SerializedError };
