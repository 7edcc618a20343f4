import { expect, it } from 'vitest';
import { OpenQuestion } from '../../../../src/host/runtime/openQuestion';

/** Notifications that the test closes or answers, in their order. */
function notifications() {
  const shown: ((choice: string | undefined) => void)[] = [];
  const show = () => new Promise<string | undefined>((resolve) => shown.push(resolve));
  return { shown, show };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

it('takes the answer of its notification', async () => {
  const { shown, show } = notifications();
  const question = new OpenQuestion<string>();
  const answer = question.ask(show);
  expect(question.isOpen).toBe(true);
  shown[0]!('install');
  expect(await answer).toBe('install');
  expect(question.isOpen).toBe(false);
  expect(question.answer('late')).toBe(false);
});

it('stays open when the notification is closed, and is asked again or answered elsewhere', async () => {
  const { shown, show } = notifications();
  const question = new OpenQuestion<string>();
  let changes = 0;
  question.onDidChange(() => changes++);
  const answer = question.ask(show);
  expect(shown).toHaveLength(1);
  shown[0]!(undefined);
  await settled();
  expect(question.isOpen).toBe(true);
  void question.remind();
  expect(shown).toHaveLength(2);
  expect(question.answer('elsewhere')).toBe(true);
  expect(await answer).toBe('elsewhere');
  expect(changes).toBe(2);
});
