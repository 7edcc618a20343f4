import { expect, test } from 'vitest';
import {
  asPlaygroundPageMessage,
  asPlaygroundPageState,
} from '../../../src/shared/pages/playground/protocol';
import {
  emptyColumn,
  withMessage,
  isBusy,
  answerParts,
  type AnswerColumn,
} from '../../../webview/playground/model/columns';

const asked = (adapter: number | null, id: string): AnswerColumn => ({
  ...emptyColumn(adapter, 'x'),
  id,
  state: { kind: 'waiting' },
});

test('appends streamed text to its column and ignores text for other requests', () => {
  let columns: readonly AnswerColumn[] = [asked(null, 'a'), asked(0, 'b')];
  for (const text of ['one', ' two'])
    columns = withMessage(columns, { kind: 'text', id: 'b', text });
  columns = withMessage(columns, { kind: 'text', id: 'old', text: 'gone' });
  expect(columns.map(({ text, state }) => [text, state.kind])).toEqual([
    ['', 'waiting'],
    ['one two', 'writing'],
  ]);
  columns = withMessage(
    withMessage(columns, { kind: 'done', id: 'b', tokens: 2, seconds: 1, stopped: false }),
    { kind: 'failed', id: 'a', message: 'no' },
  );
  expect(columns.map(isBusy)).toEqual([false, false]);
  expect(columns[0]!.state).toEqual({ kind: 'failed', message: 'no' });
});

test('marks words that differ from the base answer without losing text', () => {
  const pieces = answerParts('git reset --soft HEAD~1 undoes it', 'You can undo it with git reset');
  expect(pieces.map(({ text }) => text).join('')).toBe('git reset --soft HEAD~1 undoes it');
  expect(
    pieces
      .filter(({ own }) => own)
      .map(({ text }) => text.trim())
      .join(' '),
  ).toMatch(/--soft HEAD~1/);
  expect(answerParts('the same', 'the same')).toEqual([{ text: 'the same', own: false }]);
});

test('validates messages and persisted state', () => {
  const settings = {
    prompt: 'x',
    system: '',
    chat: true,
    temperature: 0,
    seed: 0,
    max_new_tokens: 8,
  };
  expect(
    asPlaygroundPageMessage({
      kind: 'ask',
      settings,
      columns: [{ id: 'a', adapter: null, scale: 1 }],
    }),
  ).toBeDefined();
  expect(
    asPlaygroundPageMessage({
      kind: 'ask',
      settings: { ...settings, temperature: -1 },
      columns: [],
    }),
  ).toBeUndefined();
  expect(asPlaygroundPageState({ base: '/b', adapters: [] })).toMatchObject({
    scales: [],
    settings: { temperature: 0 },
  });
});
