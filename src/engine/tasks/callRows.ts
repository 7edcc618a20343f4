import type { ParsedAnswer } from '../../data/chat/calls/parseAnswer';
import { contentOf } from '../../data/chat/chat';
import type { SampleAnswer } from '../../data/examples/sampleRows';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { answerTokens, partsOf, stopIds } from '../model/answer';
import type { Scores } from '../../shared/metrics/lines';
import { callShares, checkCalls, type CheckedCalls } from './callScores';

/** A question whose answer is known, and may call tools. */
export interface CallQuestion {
  readonly answer: SampleAnswer;
  readonly expected: ParsedAnswer;
}

/** An answer to such a question. */
export interface AnsweredCalls extends CheckedCalls {
  readonly prompt: string;
  readonly expected: ParsedAnswer['calls'];
  readonly calls: ParsedAnswer['calls'];
  readonly text: string;
}

/** The questions that are asked of answers in the data. */
export const callQuestions = (
  answers: readonly SampleAnswer[],
  tokenizer: Tokenizer,
): readonly CallQuestion[] =>
  askedQuestions(
    answers
      .map((answer) => callQuestion(answer, tokenizer))
      .filter(({ expected }) => !expected.isFaulty),
  );

function callQuestion(answer: SampleAnswer, tokenizer: Tokenizer): CallQuestion {
  const { answer_ids, variables } = answer;
  const stop_ids = stopIds(tokenizer, variables);
  const end = answer_ids.findIndex((id) => stop_ids.includes(id));
  const raw = tokenizer.decode(end < 0 ? answer_ids : answer_ids.slice(0, end), false);
  return { answer, expected: partsOf(tokenizer, raw, variables) };
}

/**
 * The questions that are asked: of rows with tools, or, where no row lists its tools, of all rows
 * if any answer calls one, since their messages may name the tools.
 */
function askedQuestions(questions: readonly CallQuestion[]): readonly CallQuestion[] {
  const offers = ({ answer, expected }: CallQuestion) =>
    hasTools(answer) || expected.calls.length > 0;
  if (!questions.some(offers)) return [];
  return questions.some(({ answer }) => hasTools(answer)) ? questions.filter(offers) : questions;
}

const hasTools = ({ variables: { tools } }: SampleAnswer): boolean =>
  Array.isArray(tools) && tools.length > 0;

/** An answer may have this many times the tokens of the expected one, and some more. */
const LONGER = 2;
const MORE = 16;

/** Lets a model answer a question, with its most likely tokens. */
export async function answerCalls(
  model: Model,
  tokenizer: Tokenizer,
  { answer, expected }: CallQuestion,
  isGoing: () => boolean = () => true,
): Promise<AnsweredCalls> {
  const { prompt_ids, answer_ids, variables, asked, images } = answer;
  const { text, raw } = await answerTokens(
    model,
    tokenizer,
    { input_ids: prompt_ids, stop_ids: stopIds(tokenizer, variables), images },
    {
      max_new_tokens: answer_ids.length * LONGER + MORE,
      temperature: 0,
      seed: 0,
      onText: isGoing,
    },
  );
  const parts = partsOf(tokenizer, raw, variables);
  return {
    prompt: asked ? contentOf(asked) : '',
    expected: expected.calls,
    calls: parts.calls,
    text,
    ...checkCalls(parts, expected),
  };
}

/** How a model answers questions. */
interface CallAsking {
  readonly model: Model;
  readonly tokenizer: Tokenizer | null;
  /** From 0 to 1. */
  readonly onAnswer: (fraction: number) => void;
}

/** The shares of answers to questions whose calls are right; none without questions. */
export async function callSharesOf(
  questions: readonly CallQuestion[],
  { model, tokenizer, onAnswer }: CallAsking,
): Promise<Scores> {
  if (!tokenizer) return {};
  const checked: CheckedCalls[] = [];
  for (const [i, question] of questions.entries()) {
    onAnswer(i / questions.length);
    checked.push(await answerCalls(model, tokenizer, question));
  }
  return callShares(checked);
}
