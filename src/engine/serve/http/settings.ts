import { randomInt } from 'node:crypto';
import * as v from 'valibot';
import type { SamplingSettings } from '../../../models/sampling';
import { checked } from '../../../shared/parsed';
import { ApiError, badField } from './apiError';

const number = v.pipe(v.number(), v.finite());
const wholeFrom = (least: number, most: number) =>
  v.pipe(number, v.integer(), v.minValue(least), v.maxValue(most));

const MOST_STOPS = 16;
const MOST_STOP_LENGTH = 500;
const stopText = v.pipe(v.string(), v.nonEmpty(), v.maxLength(MOST_STOP_LENGTH));

/** Most likely tokens that are told of each place. */
export const MOST_TOP_LOGPROBS = 20;

const SHARED = {
  model: v.string(),
  stream: v.optional(v.boolean(), false),
  stream_options: v.optional(v.object({ include_usage: v.optional(v.boolean(), false) })),
  stop: v.optional(
    v.union(
      [v.pipe(v.array(stopText), v.maxLength(MOST_STOPS)), stopText],
      'must be a text, or a list of up to 16',
    ),
    [],
  ),
  seed: v.optional(wholeFrom(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
  temperature: v.optional(v.pipe(number, v.minValue(0), v.maxValue(100)), 1),
  top_p: v.optional(v.pipe(number, v.minValue(0), v.maxValue(1)), 1),
  top_k: v.optional(wholeFrom(-1, 1e9), 0),
  min_p: v.optional(v.pipe(number, v.minValue(0), v.maxValue(1)), 0),
  repetition_penalty: v.optional(v.pipe(number, v.gtValue(0), v.maxValue(100)), 1),
  max_tokens: v.optional(wholeFrom(1, 1e9)),
};

const ChatSchema = v.object({
  ...SHARED,
  max_completion_tokens: v.optional(wholeFrom(1, 1e9)),
  logprobs: v.optional(v.boolean(), false),
  top_logprobs: v.optional(wholeFrom(0, MOST_TOP_LOGPROBS)),
});

const TextSchema = v.object({
  ...SHARED,
  logprobs: v.optional(wholeFrom(0, MOST_TOP_LOGPROBS)),
});

/** The fields that `chatSettings` reads. */
export const CHAT_SETTINGS: readonly string[] = Object.keys(ChatSchema.entries);
/** The fields that `textSettings` reads. */
export const TEXT_SETTINGS: readonly string[] = Object.keys(TextSchema.entries);

/** Tokens of a text completion for which none are given, as OpenAI has it. */
const DEFAULT_TEXT_TOKENS = 16;

/** How a request is answered. */
export interface RequestSettings {
  readonly model: string;
  readonly stream: boolean;
  /** Whether a stream ends with the counts of tokens. */
  readonly includeUsage: boolean;
  /** Null: as many as the model has positions for. */
  readonly max_tokens: number | null;
  readonly sampling: SamplingSettings;
  readonly stops: readonly string[];
  /** Null: no log-probabilities. */
  readonly top_logprobs: number | null;
}

type SharedSettings = Omit<v.InferOutput<typeof TextSchema>, 'logprobs'>;

/** @throws ApiError */
export function chatSettings(fields: Readonly<Record<string, unknown>>): RequestSettings {
  const given = readFields(ChatSchema, fields);
  const { logprobs, top_logprobs, max_completion_tokens, max_tokens } = given;
  if (top_logprobs !== undefined && !logprobs)
    throw new ApiError(400, '"top_logprobs" needs "logprobs": true.', { param: 'top_logprobs' });
  if (max_tokens !== undefined && max_completion_tokens !== undefined)
    throw badField('max_tokens', 'cannot be used together with "max_completion_tokens"');
  return {
    ...sharedSettings(given),
    max_tokens: max_completion_tokens ?? max_tokens ?? null,
    top_logprobs: logprobs ? (top_logprobs ?? 0) : null,
  };
}

/** @throws ApiError */
export function textSettings(fields: Readonly<Record<string, unknown>>): RequestSettings {
  const given = readFields(TextSchema, fields);
  return {
    ...sharedSettings(given),
    max_tokens: given.max_tokens ?? DEFAULT_TEXT_TOKENS,
    top_logprobs: given.logprobs ?? null,
  };
}

/** Fields that fit a schema. @throws ApiError */
export function readFields<T>(schema: v.GenericSchema<unknown, T>, fields: unknown): T {
  const result = checked(schema, fields);
  if ('message' in result) return result.message;
  const [param = '', rule = 'is not valid'] = result.fault.split(/: (.*)/s);
  throw new ApiError(400, `"${param}" ${rule}.`, { param, code: 'invalid_value' });
}

function sharedSettings({
  model,
  stream,
  stream_options,
  stop,
  ...given
}: SharedSettings): Omit<RequestSettings, 'max_tokens' | 'top_logprobs'> {
  const { temperature, top_p, top_k, min_p, repetition_penalty } = given;
  return {
    model,
    stream,
    includeUsage: stream_options?.include_usage ?? false,
    stops: typeof stop === 'string' ? [stop] : stop,
    sampling: {
      temperature,
      top_p,
      top_k: Math.max(0, top_k),
      min_p,
      repetition_penalty,
      seed: given.seed ?? randomInt(2 ** 32),
    },
  };
}
