import { diffWordsWithSpace } from 'diff';
import type { PlaygroundHostMessage } from '../../../src/shared/pages/playground/protocol';

/** An answer beside others. `adapter` null: the base model's. */
export interface AnswerColumn {
  readonly adapter: number | null;
  readonly name: string;
  /** Of the current or last request; null before the first. */
  readonly id: string | null;
  readonly text: string;
  readonly state: AnswerState;
}

export type AnswerState =
  | { readonly kind: 'empty' | 'waiting' | 'writing' }
  | {
      readonly kind: 'done';
      readonly tokens: number;
      readonly seconds: number;
      readonly stopped: boolean;
    }
  | { readonly kind: 'failed'; readonly message: string };

export const emptyColumn = (adapter: number | null, name: string): AnswerColumn => ({
  adapter,
  name,
  id: null,
  text: '',
  state: { kind: 'empty' },
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
      const { tokens, seconds, stopped } = message;
      return { ...column, state: { kind: 'done', tokens, seconds, stopped } };
    }
    case 'failed':
      return { ...column, state: { kind: 'failed', message: message.message } };
  }
}

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
