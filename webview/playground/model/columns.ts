import { diffWordsWithSpace } from 'diff';
import type { PlaygroundHostMessage } from '../../../src/shared/pages/playground/protocol';
import type { AnswerParts, AnswerSettings, AskedTurn } from '../../../src/shared/serveProtocol';

/** An answer beside others. `adapter` null: the base model's. */
export interface AnswerColumn {
  readonly adapter: number | null;
  readonly name: string;
  /** 0; 1 for a second answer of the same model, with the next seed. */
  readonly sample: 0 | 1;
  /** Of the current or last request; null before the first. */
  readonly id: string | null;
  readonly text: string;
  readonly state: AnswerState;
  /** What was asked; null before the first request. */
  readonly asked: AnswerSettings | null;
  /** What was said since the prompt, before this answer. */
  readonly turns: readonly AskedTurn[];
  /** What the user types as results of the calls of this answer. */
  readonly results: readonly string[];
}

export type AnswerState =
  | { readonly kind: 'empty' | 'waiting' | 'writing' }
  | {
      readonly kind: 'done';
      readonly tokens: number;
      readonly seconds: number;
      readonly stopped: boolean;
      readonly parts: AnswerParts | null;
      /** The prompt with the answer, as a row of a dataset. */
      readonly example: string;
    }
  | { readonly kind: 'failed'; readonly message: string };

export const emptyColumn = (
  adapter: number | null,
  name: string,
  sample: 0 | 1 = 0,
): AnswerColumn => ({
  adapter,
  name,
  sample,
  id: null,
  text: '',
  state: { kind: 'empty' },
  asked: null,
  turns: [],
  results: [],
});

export const isBusy = ({ state }: AnswerColumn): boolean =>
  state.kind === 'waiting' || state.kind === 'writing';

type AnswerMessage = Extract<PlaygroundHostMessage, { readonly id: string }>;

/** The columns after a message about one answer; messages about older requests change nothing. */
export const withMessage = (
  columns: readonly AnswerColumn[],
  message: AnswerMessage,
): readonly AnswerColumn[] =>
  columns.map((column) => (column.id === message.id ? columnAfter(column, message) : column));

function columnAfter(column: AnswerColumn, message: AnswerMessage): AnswerColumn {
  switch (message.kind) {
    case 'text':
      return { ...column, text: column.text + message.text, state: { kind: 'writing' } };
    case 'done': {
      const { tokens, seconds, stopped, parts, example } = message;
      return {
        ...column,
        results: (parts?.calls ?? []).map(() => ''),
        state: { kind: 'done', tokens, seconds, stopped, parts, example },
      };
    }
    case 'failed':
      return { ...column, state: { kind: 'failed', message: message.message } };
  }
}

/** The parts of a finished answer. Null: it is not finished, or no chat. */
export const partsOf = ({ state }: AnswerColumn): AnswerParts | null =>
  state.kind === 'done' ? state.parts : null;

/**
 * The conversation after an answer with calls and their results. Null: there is none to continue
 * with, or a result is missing.
 */
export function turnsAfter(column: AnswerColumn): readonly AskedTurn[] | null {
  const parts = partsOf(column);
  if (!parts || parts.calls.length === 0) return null;
  const { content, reasoning, calls } = parts;
  const results = calls.map(({ id, name }, i): AskedTurn => {
    const result = (column.results[i] ?? '').trim();
    return { role: 'tool', tool_call_id: id, name, content: result };
  });
  if (results.some((result) => result.content === '')) return null;
  return [...column.turns, { role: 'assistant', content, reasoning, calls }, ...results];
}

/** The row of a finished answer; '' without one. */
export const exampleOf = ({ state }: AnswerColumn): string =>
  state.kind === 'done' ? state.example : '';

/**
 * The answers that one can be preferred to: finished ones to the same question, with other texts.
 */
export const worseThan = (
  column: AnswerColumn,
  columns: readonly AnswerColumn[],
): readonly AnswerColumn[] =>
  exampleOf(column) === ''
    ? []
    : columns.filter(
        (other) =>
          other !== column &&
          exampleOf(other) !== '' &&
          other.text.trim() !== column.text.trim() &&
          questionOf(other) === questionOf(column),
      );

const questionOf = ({ asked, turns }: AnswerColumn): string =>
  JSON.stringify([
    asked?.prompt,
    asked?.system,
    asked?.chat,
    asked?.row,
    asked?.tools,
    asked?.images,
    turns,
  ]);

/** Part of an answer; `own`: not in the base model's answer at this place. */
export interface AnswerPart {
  readonly text: string;
  readonly own: boolean;
}

/** An adapter's answer compared with the base model's, word by word. */
export const answerParts = (answer: string, base: string): readonly AnswerPart[] =>
  diffWordsWithSpace(base, answer)
    .filter(({ removed }) => !removed)
    .map(({ value, added }) => ({ text: value, own: added }));
