import { randomBytes } from 'node:crypto';
import type { ToolCall } from '../../../data/chat/calls/form';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import { exactText } from '../../../shared/exactText';
import type { TokenChances } from '../batchScheduler';
import type { AnswerDelta, FinishedAnswer } from './answerStream';
import { chatLogprobs, textLogprobs } from './logprobs';

/** Why an answer ended, in OpenAI's words. */
export type FinishReason = 'stop' | 'length' | 'tool_calls';

/** Numbers of tokens. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly cached_tokens: number;
}

/** An answer that is complete. */
export interface Completion {
  readonly answer: FinishedAnswer;
  readonly finish_reason: FinishReason;
  readonly usage: Usage;
  /** Null: not asked for. */
  readonly chances: readonly TokenChances[] | null;
}

/** A part of a streamed answer; `chances`: those of the tokens since the last part. */
export interface StreamedPart {
  readonly delta: AnswerDelta;
  readonly chances: readonly TokenChances[] | null;
}

/** The objects that answer a request. */
export interface AnswerShape {
  /** The whole answer. */
  whole(completion: Completion): object;
  /** What a stream begins with. */
  begin(): readonly object[];
  part(part: StreamedPart): object;
  /** What a stream ends with, the counts of tokens apart. */
  end(completion: Completion, chances: readonly TokenChances[] | null): readonly object[];
  /** The counts of tokens of a stream. */
  usage(usage: Usage): object;
}

/** An answer's model, and what its tokens are read with. */
interface ShapeContext {
  readonly model: string;
  readonly tokenizer: Tokenizer;
}

const usageOf = ({ prompt_tokens, completion_tokens, cached_tokens }: Usage): object => ({
  prompt_tokens,
  completion_tokens,
  total_tokens: prompt_tokens + completion_tokens,
  prompt_tokens_details: { cached_tokens },
});

const headerOf = (prefix: string, model: string) => ({
  id: `${prefix}-${randomBytes(12).toString('hex')}`,
  created: Math.floor(Date.now() / 1000),
  model,
});

/** Chat completions. */
export function chatShape({ model, tokenizer }: ShapeContext): AnswerShape {
  const header = headerOf('chatcmpl', model);
  const logprobs = (chances: readonly TokenChances[] | null) =>
    chances && chatLogprobs(tokenizer, chances);
  const chunk = (delta: object, rest: object = {}) => ({
    ...header,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: null, ...rest }],
  });
  const isFilled = ({ content, reasoning }: AnswerDelta) => content !== '' || reasoning !== '';
  return {
    whole: ({ answer, finish_reason, usage, chances }) => ({
      ...header,
      object: 'chat.completion',
      choices: [
        { index: 0, message: messageOf(answer), logprobs: logprobs(chances), finish_reason },
      ],
      usage: usageOf(usage),
    }),
    begin: () => [chunk({ role: 'assistant', content: '' })],
    part: ({ delta, chances }) => chunk(deltaOf(delta), { logprobs: logprobs(chances) }),
    end: ({ answer: { rest, calls }, finish_reason }, chances) => [
      ...(isFilled(rest) || chances?.length
        ? [chunk(deltaOf(rest), { logprobs: logprobs(chances) })]
        : []),
      ...calls.map((call, index) => chunk({ tool_calls: [{ index, ...callOf(call) }] })),
      chunk({}, { finish_reason }),
    ],
    usage: (usage) => ({
      ...header,
      object: 'chat.completion.chunk',
      choices: [],
      usage: usageOf(usage),
    }),
  };
}

const deltaOf = ({ content, reasoning }: AnswerDelta): object => ({
  ...(reasoning !== '' && { reasoning_content: reasoning }),
  ...(content !== '' && { content }),
});

function messageOf({ content, reasoning, calls }: FinishedAnswer): object {
  return {
    role: 'assistant',
    content: content === '' && calls.length > 0 ? null : content,
    refusal: null,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls.map(callOf) }),
  };
}

const callOf = ({ name, arguments: value }: ToolCall): object => ({
  id: callId(),
  type: 'function',
  function: { name, arguments: exactText(value) },
});

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** Nine letters and digits, as some templates demand. */
const callId = (): string =>
  Array.from(randomBytes(9), (byte) => LETTERS[byte % LETTERS.length]!).join('');

/** Text completions. */
export function textShape({ model, tokenizer }: ShapeContext): AnswerShape {
  const header = { ...headerOf('cmpl', model), object: 'text_completion' };
  let offset = 0;
  const choice = (
    text: string,
    chances: readonly TokenChances[] | null,
    finish_reason: FinishReason | null = null,
  ) => {
    const logprobs = chances && textLogprobs(tokenizer, chances, offset);
    offset += text.length;
    return { ...header, choices: [{ index: 0, text, logprobs, finish_reason }] };
  };
  return {
    whole: ({ answer, finish_reason, usage, chances }) => ({
      ...choice(answer.content, chances, finish_reason),
      usage: usageOf(usage),
    }),
    begin: () => [],
    part: ({ delta, chances }) => choice(delta.content, chances),
    end: ({ answer, finish_reason }, chances) => [
      choice(answer.rest.content, chances?.length ? chances : null, finish_reason),
    ],
    usage: (usage) => ({ ...header, choices: [], usage: usageOf(usage) }),
  };
}
