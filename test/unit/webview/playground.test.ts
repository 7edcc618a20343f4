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
  turnsAfter,
  worseThan,
  type AnswerColumn,
} from '../../../webview/playground/model/columns';
import { toolNames } from '../../../webview/playground/model/tools';

const asked = (adapter: number | null, id: string): AnswerColumn => ({
  ...emptyColumn(adapter, 'x'),
  id,
  state: { kind: 'waiting' },
});

const DONE = { tokens: 2, seconds: 1, stopped: false, parts: null, example: '' };

test('appends streamed text to its column and ignores text for other requests', () => {
  let columns: readonly AnswerColumn[] = [asked(null, 'a'), asked(0, 'b')];
  for (const text of ['one', ' two'])
    columns = withMessage(columns, { kind: 'text', id: 'b', text });
  columns = withMessage(columns, { kind: 'text', id: 'old', text: 'gone' });
  expect(columns.map(({ text, state }) => [text, state.kind])).toEqual([
    ['', 'waiting'],
    ['one two', 'writing'],
  ]);
  columns = withMessage(withMessage(columns, { kind: 'done', id: 'b', ...DONE }), {
    kind: 'failed',
    id: 'a',
    message: 'no',
  });
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
  const withImages = (images: readonly string[]) => [
    asPlaygroundPageMessage({ kind: 'ask', settings: { ...settings, images }, columns: [] }),
    asPlaygroundPageMessage({ kind: 'thumbnails', images }),
    asPlaygroundPageMessage({ kind: 'dropImages', uris: images }),
    asPlaygroundPageState({ base: '/b', adapters: [], settings: { ...settings, images } }),
  ];
  expect(withImages(Array.from({ length: 64 }, () => 'a.png'))).not.toContain(undefined);
  const none = [undefined, undefined, undefined, undefined];
  expect(withImages(Array.from({ length: 65 }, () => 'a.png'))).toEqual(none);
  expect(withImages(['a'.repeat(9 * 2 ** 20), 'b'.repeat(9 * 2 ** 20)])).toEqual(none);
  expect(asPlaygroundPageState({ base: '/b', adapters: [] })).toMatchObject({
    scales: [],
    settings: { temperature: 0 },
  });
});

test('goes on with a conversation only when all results of calls are there', () => {
  const call = { id: 'call00001', name: 'f', arguments: '{}' };
  const parts = { content: 'a', reasoning: 'r', calls: [call], faulty: false };
  const done = withMessage([asked(0, 'a')], { kind: 'done', id: 'a', ...DONE, parts })[0]!;
  expect(done.results).toEqual(['']);
  expect(turnsAfter(done)).toBeNull();
  expect(turnsAfter({ ...done, results: [' 7 '] })).toEqual([
    { role: 'assistant', content: 'a', reasoning: 'r', calls: [call] },
    { role: 'tool', tool_call_id: 'call00001', name: 'f', content: '7' },
  ]);
  expect(turnsAfter(asked(0, 'a'))).toBeNull();
});

test('compares finished answers to one question that differ', () => {
  const settings = asPlaygroundPageState({ base: '/b', adapters: [] })!.settings;
  const finished = (text: string, change: Partial<AnswerColumn> = {}): AnswerColumn => ({
    ...emptyColumn(null, text),
    text,
    asked: settings,
    state: { kind: 'done', ...DONE, example: `{"${text}"}` },
    ...change,
  });
  const [a, b, same] = [finished('a'), finished('b'), finished('a ')];
  const other = finished('c', { asked: { ...settings, prompt: 'other' } });
  const later = finished('d', { turns: [{ role: 'user', content: 'x' }] });
  const seeded = finished('e', { asked: { ...settings, seed: 5 } });
  const columns = [a, b, same, other, later, seeded, asked(0, 'x')];
  expect(worseThan(a, columns)).toEqual([b, seeded]);
  expect(worseThan(asked(0, 'x'), columns)).toEqual([]);
});

test('names the tools of a JSON list', () => {
  expect(toolNames(' ')).toEqual([]);
  expect(toolNames('[{"name": "f"}, {"function": {"name": "g"}}]')).toEqual(['f', 'g']);
  for (const wrong of ['x', '{}', '[{}]', '[{"name": ""}]']) expect(toolNames(wrong)).toBeNull();
});
