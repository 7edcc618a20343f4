import { randomInt } from 'node:crypto';
import * as v from 'valibot';
import type { SamplingSettings } from '../../../models/sampling/settings';
import { checked } from '../../../shared/parsed';
import { ApiError, badField } from './apiError';
import { knownFields } from './fields';

const number = v.pipe(v.number(), v.finite());
const wholeFrom = (least: number, most: number) =>
  v.pipe(number, v.integer(), v.minValue(least), v.maxValue(most));

const MOST_STOPS = 16;
const MOST_STOP_LENGTH = 500;
const stopText = v.pipe(v.string(), v.nonEmpty(), v.maxLength(MOST_STOP_LENGTH));

/** Most likely tokens that are returned at each position. */
export const MOST_TOP_LOGPROBS = 20;

/** Answers to one prompt. */
const MOST_ANSWERS = 128;
/** OpenAI's bounds of the penalties of what was written. */
const penalty = v.optional(v.pipe(number, v.minValue(-2), v.maxValue(2)), 0);

const StreamSchema = v.object({ include_usage: v.optional(v.boolean(), false) });

const SHARED = {
  model: v.string(),
  n: v.optional(wholeFrom(1, MOST_ANSWERS), 1),
  stream: v.optional(v.boolean(), false),
  stream_options: v.optional(v.unknown()),
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
  frequency_penalty: penalty,
  presence_penalty: penalty,
};

/** Tokens of a text completion for which none are given, as OpenAI has it. */
const DEFAULT_TEXT_TOKENS = 16;

const ChatSchema = v.object({
  ...SHARED,
  max_tokens: v.optional(wholeFrom(1, 1e9)),
  max_completion_tokens: v.optional(wholeFrom(1, 1e9)),
  logprobs: v.optional(v.boolean(), false),
  top_logprobs: v.optional(wholeFrom(0, MOST_TOP_LOGPROBS)),
});

const TextSchema = v.object({
  ...SHARED,
  max_tokens: v.optional(wholeFrom(0, 1e9), DEFAULT_TEXT_TOKENS),
  echo: v.optional(v.boolean(), false),
  logprobs: v.optional(wholeFrom(0, MOST_TOP_LOGPROBS)),
});

/** The fields that `chatSettings` reads. */
export const CHAT_SETTINGS: readonly string[] = Object.keys(ChatSchema.entries);
/** The fields that `textSettings` reads. */
export const TEXT_SETTINGS: readonly string[] = Object.keys(TextSchema.entries);

/** How a request is answered. */
export interface RequestSettings {
  readonly model: string;
  /** Answers to each prompt. */
  readonly n: number;
  readonly stream: boolean;
  /** Whether a stream ends with the counts of tokens. */
  readonly includeUsage: boolean;
  /** Null: as many as the model has positions for. */
  readonly max_tokens: number | null;
  /** Whether the answer begins with its prompt. */
  readonly echo: boolean;
  readonly sampling: SamplingSettings;
  readonly stops: readonly string[];
  /** Null: no log-probabilities. */
  readonly top_logprobs: number | null;
}

type SharedSettings = Omit<v.InferOutput<typeof TextSchema>, 'logprobs' | 'max_tokens' | 'echo'>;

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
    echo: false,
    max_tokens: max_completion_tokens ?? max_tokens ?? null,
    top_logprobs: logprobs ? (top_logprobs ?? 0) : null,
  };
}

/** @throws ApiError */
export function textSettings(fields: Readonly<Record<string, unknown>>): RequestSettings {
  const given = readFields(TextSchema, fields);
  const { max_tokens, echo, logprobs = null } = given;
  if (max_tokens === 0 && !echo) throw badField('max_tokens', 'must be at least 1 without "echo"');
  return { ...sharedSettings(given), max_tokens, echo, top_logprobs: logprobs };
}

/**
 * Fields that fit a schema.
 *
 * @param place Where they are in the request, as in `knownFields`.
 * @throws ApiError
 */
export function readFields<T>(schema: v.GenericSchema<unknown, T>, fields: unknown, place = ''): T {
  const result = checked(schema, fields);
  if ('message' in result) return result.message;
  const [param = '', rule = 'is not valid'] = result.fault.split(/: (.*)/s);
  throw badField(`${place}${param}`, rule);
}

function sharedSettings({
  model,
  n,
  stream,
  stream_options,
  stop,
  seed,
  top_k,
  ...given
}: SharedSettings): Omit<RequestSettings, 'max_tokens' | 'top_logprobs' | 'echo'> {
  const { temperature, top_p, min_p, repetition_penalty } = given;
  const { frequency_penalty, presence_penalty } = given;
  return {
    model,
    n,
    stream,
    includeUsage: includesUsage(stream_options, stream),
    stops: typeof stop === 'string' ? [stop] : stop,
    sampling: {
      temperature,
      top_p,
      top_k: Math.max(0, top_k),
      min_p,
      repetition_penalty,
      frequency_penalty,
      presence_penalty,
      seed: seed ?? randomInt(2 ** 32),
    },
  };
}

function includesUsage(options: unknown, isStream: boolean): boolean {
  if (options === undefined) return false;
  if (!isStream) throw badField('stream_options', 'needs "stream": true');
  const known = knownFields(options, Object.keys(StreamSchema.entries), 'stream_options.');
  return readFields(StreamSchema, known, 'stream_options.').include_usage;
}
