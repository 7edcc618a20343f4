import { randomBytes } from 'node:crypto';
import type { ToolCall } from '../../../data/chat/calls/form';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import { exactText } from '../../../shared/exactText';
import type { AnswerDelta, FinishedAnswer } from './answerStream';
import { chatLogprobs, textLogprobs, type ToldToken } from './logprobs';

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
  readonly chances: readonly ToldToken[] | null;
}

/** A part of a streamed answer; `chances`: those of the tokens since the last part. */
export interface StreamedPart {
  readonly delta: AnswerDelta;
  readonly chances: readonly ToldToken[] | null;
}

/** The objects that answer a request, in which answers have their indices. */
export interface AnswerShape {
  /** All answers. */
  whole(completions: readonly Completion[], usage: Usage): object;
  /** What the stream of an answer begins with. */
  begin(index: number): readonly object[];
  part(index: number, part: StreamedPart): object;
  /** What the stream of an answer ends with. */
  end(
    index: number,
    completion: Completion,
    chances: readonly ToldToken[] | null,
  ): readonly object[];
  /** The counts of tokens of a stream. */
  usage(usage: Usage): object;
}

/** The counts of all answers, `n` of which have the same prompt each. */
export function totalUsage(completions: readonly Completion[], n: number): Usage {
  const sum = (key: keyof Usage, step: number) =>
    completions.reduce((all, { usage }, i) => (i % step === 0 ? all + usage[key] : all), 0);
  return {
    prompt_tokens: sum('prompt_tokens', n),
    completion_tokens: sum('completion_tokens', 1),
    cached_tokens: sum('cached_tokens', n),
  };
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
  const logprobs = (chances: readonly ToldToken[] | null) =>
    chances && chatLogprobs(tokenizer, chances);
  const chunk = (index: number, delta: object, rest: object = {}) => ({
    ...header,
    object: 'chat.completion.chunk',
    choices: [{ index, delta, logprobs: null, finish_reason: null, ...rest }],
  });
  const isFilled = ({ content, reasoning }: AnswerDelta) => content !== '' || reasoning !== '';
  return {
    whole: (completions, usage) => ({
      ...header,
      object: 'chat.completion',
      choices: completions.map(({ answer, finish_reason, chances }, index) => ({
        index,
        message: messageOf(answer),
        logprobs: logprobs(chances),
        finish_reason,
      })),
      usage: usageOf(usage),
    }),
    begin: (index) => [chunk(index, { role: 'assistant', content: '' })],
    part: (index, { delta, chances }) =>
      chunk(index, deltaOf(delta), { logprobs: logprobs(chances) }),
    end: (index, { answer: { rest, calls }, finish_reason }, chances) => [
      ...(isFilled(rest) || chances?.length
        ? [chunk(index, deltaOf(rest), { logprobs: logprobs(chances) })]
        : []),
      ...calls.map((call, i) => chunk(index, { tool_calls: [{ index: i, ...callOf(call) }] })),
      chunk(index, {}, { finish_reason }),
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
export const callId = (): string =>
  Array.from(randomBytes(9), (byte) => LETTERS[byte % LETTERS.length]!).join('');

/** Text completions. */
export function textShape({ model, tokenizer }: ShapeContext): AnswerShape {
  const header = { ...headerOf('cmpl', model), object: 'text_completion' };
  const offsets: number[] = [];
  const choice = (
    index: number,
    text: string,
    chances: readonly ToldToken[] | null,
    finish_reason: FinishReason | null = null,
  ) => {
    const offset = offsets[index] ?? 0;
    offsets[index] = offset + text.length;
    const logprobs = chances && textLogprobs(tokenizer, chances, offset);
    return { index, text, logprobs, finish_reason };
  };
  return {
    whole: (completions, usage) => ({
      ...header,
      choices: completions.map(({ answer, chances, finish_reason }, index) =>
        choice(index, answer.content, chances, finish_reason),
      ),
      usage: usageOf(usage),
    }),
    begin: () => [],
    part: (index, { delta, chances }) => ({
      ...header,
      choices: [choice(index, delta.content, chances)],
    }),
    end: (index, { answer, finish_reason }, chances) => [
      {
        ...header,
        choices: [
          choice(index, answer.rest.content, chances?.length ? chances : null, finish_reason),
        ],
      },
    ],
    usage: (usage) => ({ ...header, choices: [], usage: usageOf(usage) }),
  };
}
