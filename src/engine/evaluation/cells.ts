import { exactText } from '../../shared/exactText';
import type { EvaluatedCell } from '../../shared/evaluation/result';
import type { Chat, Message } from '../../data/chat/chat';
import { checkAnswer, isAnswerCheck, type CheckedAnswer } from './checkAnswer';
import type { SuiteCase } from './suiteFile';

/** Answers the rows of suites under one column, and tells of each in any order. */
export type AnswerRows = (
  cases: readonly SuiteCase[],
  onCell: (row: SuiteCase, cell: EvaluatedCell) => void,
) => Promise<void>;

/** How answers are generated. */
export interface AnswerSettings {
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly seed: number;
  /** Of rows that say nothing else. */
  readonly max_new_tokens: number;
}

const MOST_CHARACTERS = 100_000;

/** The cell of an answer: with its scores, which the judge's rows get later. */
export function cellOf({ row }: SuiteCase, answer: CheckedAnswer, seconds: number): EvaluatedCell {
  const { scores, reason } = isAnswerCheck(row.check)
    ? checkAnswer(row.check, answer)
    : { scores: {}, reason: '' };
  const calls = answer.calls.map(({ name, arguments: value }) => ({ name, arguments: value }));
  return {
    answer: answer.content.slice(0, MOST_CHARACTERS),
    calls: calls.length === 0 ? '' : exactText(calls),
    scores,
    error: null,
    reason,
    seconds,
  };
}

/** The cell of a row that could not be answered. */
export const failedCell = (error: string): EvaluatedCell => ({
  answer: '',
  calls: '',
  scores: {},
  error,
  reason: '',
  seconds: 0,
});

/** The conversation of a row; null: its prompt is continued without a chat template. */
export function chatOf({ row }: SuiteCase): Chat | null {
  const { prompt, messages, system, tools } = row;
  const variables = tools ? { tools } : {};
  if (messages) return { messages: messages as readonly Message[], variables };
  if (row.plain || prompt === undefined) return null;
  const head = system === undefined ? [] : [{ role: 'system', content: system }];
  return { messages: [...head, { role: 'user', content: prompt }], variables };
}
