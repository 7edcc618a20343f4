import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import { promptIds, stopIds, type PromptTokens } from '../../model/answer';
import type {
  BatchScheduler,
  GenerationEnd,
  TokenChances,
  TokenConstraint,
} from '../batchScheduler';
import { TokenMask } from '../json/tokenMask';
import type { AdapterMix, ServedModels } from '../servedModels';
import { chatReader, textReader, type AnswerReader } from './answerReaders';
import { AnswerStream } from './answerStream';
import { ApiError, badField } from './apiError';
import { mixFor, type NamedModels } from './modelUse';
import type { ChatRequest, TextRequest } from './requests';
import type { RequestSettings } from './settings';
import {
  chatShape,
  textShape,
  type AnswerShape,
  type Completion,
  type FinishReason,
  type StreamedPart,
} from './shapes';

/** What answers requests for text. */
export interface Answering extends NamedModels {
  readonly models: Pick<ServedModels, 'tokenizer' | 'checkMix' | 'purposeOf'>;
  readonly scheduler: Pick<BatchScheduler, 'generate' | 'close'>;
}

/** A request that is ready to be written. */
export interface PreparedRequest {
  readonly settings: RequestSettings;
  readonly mix: AdapterMix;
  readonly tokens: PromptTokens;
  readonly constraint: TokenConstraint | null;
  readonly read: AnswerReader;
  readonly shape: AnswerShape;
}

/** @throws ApiError, LoraError */
export function prepareChat(
  answering: Answering,
  { settings, chat, mayCall, grammar }: ChatRequest,
): PreparedRequest {
  const mix = mixFor(answering, settings.model, 'text');
  const { tokenizer } = answering.models;
  if (!tokenizer.has_chat_template)
    throw new ApiError(400, 'The base has no chat template: use /v1/completions.');
  const { messages, variables = {} } = chat;
  const input_ids = promptIds(tokenizer, chat, true);
  if (mayCall) {
    const without = tokenizer.applyChatTemplate(messages, true, { ...variables, tools: null });
    if (without === tokenizer.applyChatTemplate(messages, true, variables))
      throw badField('tools', "cannot be used: the base's chat template leaves them out");
  }
  return {
    settings,
    mix,
    tokens: { input_ids, stop_ids: stopIds(tokenizer, variables) },
    constraint: grammar && new TokenMask(tokenizer, grammar.start),
    read: chatReader(tokenizer, variables, mayCall),
    shape: chatShape({ model: settings.model, tokenizer }),
  };
}

/** @throws ApiError, LoraError */
export function prepareText(
  answering: Answering,
  { settings, prompt }: TextRequest,
): PreparedRequest {
  const mix = mixFor(answering, settings.model, 'text');
  const { tokenizer } = answering.models;
  return {
    settings,
    mix,
    tokens: { input_ids: textIds(tokenizer, prompt), stop_ids: stopIds(tokenizer) },
    constraint: null,
    read: textReader(tokenizer),
    shape: textShape({ model: settings.model, tokenizer }),
  };
}

function textIds(tokenizer: Tokenizer, prompt: TextRequest['prompt']): readonly number[] {
  if (typeof prompt === 'string') return promptIds(tokenizer, prompt, false);
  const outside = prompt.find((id) => id >= tokenizer.vocab_size);
  if (outside === undefined) return prompt;
  throw badField(
    'prompt',
    `has the token id ${outside}, but the vocabulary has ${tokenizer.vocab_size} tokens`,
  );
}

/** Who gets an answer. */
export interface AnswerReceiver {
  /** Called with each part of a streamed answer. */
  readonly onPart: (part: StreamedPart) => void;
  readonly signal: AbortSignal;
}

/** A finished answer, with the log-probabilities that no part had. */
export interface WrittenAnswer {
  readonly completion: Completion;
  readonly pending: readonly TokenChances[] | null;
}

/** Writes an answer; null if its receiver is gone. @throws ApiError, LoraError */
export async function complete(
  { scheduler }: Answering,
  { settings, mix, tokens, read, constraint }: PreparedRequest,
  { onPart, signal }: AnswerReceiver,
): Promise<WrittenAnswer | null> {
  const { max_tokens, sampling, top_logprobs } = settings;
  const stream = new AnswerStream(read, settings.stops);
  const all: TokenChances[] = [];
  let sent = 0;
  const pending = () => (top_logprobs === null ? null : all.slice(sent));
  const end = await scheduler.generate({
    ...tokens,
    mix,
    constraint,
    max_new_tokens: max_tokens,
    sampling,
    top_logprobs,
    signal,
    onToken: (id, chances) => {
      if (chances) all.push(chances);
      const delta = stream.push(id);
      if (delta.content !== '' || delta.reasoning !== '') {
        onPart({ delta, chances: pending() });
        sent = all.length;
      }
      return !stream.isStopped;
    },
  });
  if (signal.aborted) return null;
  const answer = stream.finish();
  const completion = {
    answer,
    finish_reason: finishReason(end, answer.calls.length > 0),
    usage: {
      prompt_tokens: tokens.input_ids.length,
      completion_tokens: stream.tokens,
      cached_tokens: end.cached_tokens,
    },
    chances: top_logprobs === null ? null : all,
  };
  return { completion, pending: pending() };
}

function finishReason({ reason }: GenerationEnd, hasCalls: boolean): FinishReason {
  if (hasCalls) return 'tool_calls';
  return reason === 'length' ? 'length' : 'stop';
}
