import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AnswerTexts, type AnswerText } from '../../../../src/host/playground/answerTexts';

let sent: AnswerText[];
let deliver: () => void;
let texts: AnswerTexts;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  sent = [];
  texts = new AnswerTexts(async (text) => {
    sent.push(text);
    await new Promise<void>((resolve) => (deliver = resolve));
  });
});
afterEach(() => {
  texts.dispose();
  vi.useRealTimers();
});

const add = (id: string, ...parts: readonly string[]) => {
  for (const text of parts) texts.add({ kind: 'text', id, text });
};

async function pass(): Promise<void> {
  vi.advanceTimersByTime(100);
  await new Promise(setImmediate);
}

test('parts of an answer that arrive together are sent as one', async () => {
  add('a', 'The ', 'cat');
  add('b', 'Yes');
  expect(sent).toEqual([]);
  await pass();
  expect(sent).toEqual([
    { kind: 'text', id: 'a', text: 'The cat' },
    { kind: 'text', id: 'b', text: 'Yes' },
  ]);
});

test('nothing more is sent until the window has the last part', async () => {
  add('a', '1');
  await pass();
  for (let i = 2; i <= 9; i++) {
    add('a', String(i));
    await pass();
  }
  expect(sent.map(({ text }) => text)).toEqual(['1']);
  deliver();
  await pass();
  expect(sent.map(({ text }) => text)).toEqual(['1', '23456789']);
});

test('what ends an answer can be sent after all of its parts', () => {
  add('a', 'The ', 'end');
  texts.flush();
  expect(sent).toEqual([{ kind: 'text', id: 'a', text: 'The end' }]);
});

test('nothing is sent after disposing', async () => {
  add('a', 'late');
  texts.dispose();
  await pass();
  texts.flush();
  expect(sent).toEqual([]);
});
