import type { BatchScheduler, GenerationEnd } from '../batchScheduler';
import { AnswerStream } from './answerStream';
import type { ToldToken } from './logprobs';
import type { PreparedChoice, PreparedRequest, WritingModels } from './prepare';
import type { Completion, FinishReason, StreamedPart } from './shapes';

/** What answers requests for text. */
export interface Answering extends WritingModels {
  readonly scheduler: Pick<BatchScheduler, 'generate' | 'close'>;
}

/** The receivers of the answers, by their indices. */
export interface AnswerReceiver {
  /** Called with each part of an answer. */
  readonly onPart: (index: number, part: StreamedPart) => void;
  /** Called with each finished answer, and the tokens that no part has contained. */
  readonly onEnd: (
    index: number,
    completion: Completion,
    pending: readonly ToldToken[] | null,
  ) => void;
  readonly signal: AbortSignal;
}

/** Answers to one request that are written at the same time: others wait less. */
const MOST_AT_ONCE = 8;

/** Writes all answers; null if their receiver is gone. @throws ApiError, LoraError */
export async function complete(
  answering: Answering,
  prepared: PreparedRequest,
  receiver: AnswerReceiver,
): Promise<readonly Completion[] | null> {
  const failed = new AbortController();
  const signal = AbortSignal.any([receiver.signal, failed.signal]);
  const waiting = [...prepared.choices.entries()];
  const written: Completion[] = [];
  const write = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, choice] = next;
      const completion = await writeChoice(answering, prepared, choice, {
        signal,
        onPart: (part) => receiver.onPart(index, part),
        onEnd: (own, pending) => receiver.onEnd(index, own, pending),
      });
      if (!completion) return;
      written[index] = completion;
    }
  };
  try {
    await Promise.all(Array.from({ length: MOST_AT_ONCE }, write));
  } catch (error) {
    failed.abort(); // the other answers are of no use
    throw error;
  }
  return receiver.signal.aborted ? null : written;
}

interface ChoiceReceiver {
  readonly onPart: (part: StreamedPart) => void;
  readonly onEnd: (completion: Completion, pending: readonly ToldToken[] | null) => void;
  readonly signal: AbortSignal;
}

/** Null once the signal is aborted. */
async function writeChoice(
  { scheduler }: Answering,
  { settings, mix, read }: PreparedRequest,
  { tokens, echo, seed, constraint }: PreparedChoice,
  { onPart, onEnd, signal }: ChoiceReceiver,
): Promise<Completion | null> {
  const { max_tokens, sampling, top_logprobs, stops } = settings;
  const stream = new AnswerStream(read, stops);
  const told = new ToldTokens(top_logprobs !== null);
  if (echo !== null) told.add({ chosen: { id: tokens.input_ids[0]!, logprob: null } });
  let isEchoed = echo === null;
  const sendEcho = () => {
    if (isEchoed) return;
    isEchoed = true;
    onPart({ delta: { content: echo ?? '', reasoning: '' }, chances: told.take() });
  };
  const end = await scheduler.generate({
    ...tokens,
    mix,
    constraint,
    max_new_tokens: max_tokens,
    sampling: { ...sampling, seed },
    top_logprobs,
    signal,
    ...(echo !== null && top_logprobs !== null && { onPrompt: (own) => told.add(...own) }),
    onToken: (id, chances) => {
      sendEcho();
      if (chances) told.add(chances);
      const delta = stream.push(id);
      if (delta.content !== '' || delta.reasoning !== '') onPart({ delta, chances: told.take() });
      return !stream.isStopped;
    },
  });
  if (signal.aborted) return null;
  sendEcho();
  const answer = stream.finish();
  const completion = {
    answer: { ...answer, content: `${echo ?? ''}${answer.content}` },
    finish_reason: finishReason(end, answer.calls.length > 0),
    usage: {
      prompt_tokens: tokens.input_ids.length,
      completion_tokens: stream.tokens,
      cached_tokens: end.cached_tokens,
    },
    chances: told.all,
  };
  onEnd(completion, told.take());
  return completion;
}

/** Tokens with their log-probabilities, if they are asked for. */
class ToldTokens {
  private readonly tokens: ToldToken[] = [];
  private taken = 0;

  constructor(private readonly isAsked: boolean) {}

  get all(): readonly ToldToken[] | null {
    return this.isAsked ? this.tokens : null;
  }

  add(...tokens: readonly ToldToken[]): void {
    this.tokens.push(...tokens);
  }

  /** Those since the last call. */
  take(): readonly ToldToken[] | null {
    const { taken } = this;
    this.taken = this.tokens.length;
    return this.isAsked ? this.tokens.slice(taken) : null;
  }
}

function finishReason({ reason }: GenerationEnd, hasCalls: boolean): FinishReason {
  if (hasCalls) return 'tool_calls';
  return reason === 'length' ? 'length' : 'stop';
}
