import { diffWordsWithSpace } from 'diff';
import type { PlaygroundHostMessage } from '../../../src/shared/pages/playground/protocol';

/** An answer beside others. `adapter` null: the base's. */
export interface Column {
  readonly adapter: number | null;
  readonly name: string;
  /** Of the question under way or answered; null before the first. */
  readonly id: string | null;
  readonly text: string;
  readonly state: ColumnState;
}

export type ColumnState =
  | { readonly kind: 'empty' | 'waiting' | 'writing' }
  | {
      readonly kind: 'done';
      readonly tokens: number;
      readonly seconds: number;
      readonly stopped: boolean;
    }
  | { readonly kind: 'failed'; readonly message: string };

export const emptyColumn = (adapter: number | null, name: string): Column => ({
  adapter,
  name,
  id: null,
  text: '',
  state: { kind: 'empty' },
});

export const isBusy = ({ state }: Column): boolean =>
  state.kind === 'waiting' || state.kind === 'writing';

/**
 * The columns after what the host said of one answer; of answers that are no longer wanted nothing
 * changes.
 */
export function heard(
  columns: readonly Column[],
  message: Exclude<PlaygroundHostMessage, { kind: 'state' }>,
): readonly Column[] {
  return columns.map((column) => {
    if (column.id !== message.id) return column;
    switch (message.kind) {
      case 'text':
        return { ...column, text: column.text + message.text, state: { kind: 'writing' } };
      case 'done':
        return {
          ...column,
          state: {
            kind: 'done',
            tokens: message.tokens,
            seconds: message.seconds,
            stopped: message.stopped,
          },
        };
      case 'failed':
        return { ...column, state: { kind: 'failed', message: message.message } };
    }
  });
}

/** A piece of an answer; `own`: the base does not say it there. */
export interface Piece {
  readonly text: string;
  readonly own: boolean;
}

/** An adapter's answer against the base's, word by word. */
export const piecesOf = (answer: string, base: string): readonly Piece[] =>
  diffWordsWithSpace(base, answer)
    .filter(({ removed }) => !removed)
    .map(({ value, added }) => ({ text: value, own: added }));
