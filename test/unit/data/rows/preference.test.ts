import { describe, expect, it } from 'vitest';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { readRow } from '../../../../src/data/rows/readRow';
import { RowReport } from '../../../../src/data/rows/rowReport';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import type { Row } from '../../../../src/data/rows/row';
import type { ObjectiveSettings } from '../../../../src/shared/objective';
import type { Task } from '../../../../src/shared/task';

function read(
  row: object,
  method: ObjectiveSettings['method'] = 'dpo',
  task: Task = 'causal_lm',
): { readonly row: Row | null; readonly messages: readonly string[] } {
  const problems = new ProblemCollector('rows.jsonl');
  const report = new RowReport(problems, 1);
  const objective = { method } as ObjectiveSettings as never;
  const settings = { ...ROW_SETTINGS, task, objective };
  const result = readRow(JSON.stringify(row), { line: 1, report, settings });
  return { row: result, messages: problems.problems().map(({ message }) => message) };
}

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

describe('pairs', () => {
  it('are texts after a prompt', () => {
    expect(read({ prompt: 'Sky?', chosen: 'blue', rejected: 'red' }).row).toMatchObject({
      kind: 'preference',
      chosen: { kind: 'completion', prompt: 'Sky?', completion: 'blue' },
      rejected: { prompt: 'Sky?', completion: 'red' },
      margin: null,
    });
  });

  it('may leave the prompt to what both texts begin with, less the space before the answers', () => {
    expect(read({ chosen: 'The sky is blue.', rejected: 'The sky is red.' }).row).toMatchObject({
      chosen: { prompt: 'The sky is', completion: ' blue.', plain: true },
      rejected: { prompt: 'The sky is', completion: ' red.' },
    });
  });

  it.each([
    ['a prompt of messages', { prompt: [user('Sky?')] }, []],
    ['what both chats begin with', {}, [user('Sky?')]],
    ['a text that both chats begin with', { prompt: 'Sky?' }, [user('Sky?')]],
    ['a text before the answers', { prompt: 'Sky?' }, []],
  ])('are chats after %s', (_, prompt, before) => {
    const { row, messages } = read({
      ...prompt,
      chosen: [...before, assistant('blue')],
      rejected: [...before, assistant('red')],
    });
    expect(messages).toEqual([]);
    expect(row).toMatchObject({
      chosen: { kind: 'messages', messages: [user('Sky?'), assistant('blue')] },
      rejected: { messages: [user('Sky?'), assistant('red')] },
    });
  });

  it('do not learn earlier answers', () => {
    const prompt = [user('Hi'), assistant('Hello'), user('Sky?')];
    const { row } = read({ prompt, chosen: [assistant('blue')], rejected: [assistant('red')] });
    expect(row).toMatchObject({
      chosen: { messages: [{}, { content: 'Hello', weight: 0 }, {}, { content: 'blue' }] },
    });
  });

  it('are token ids', () => {
    const ids = { prompt_ids: [5, 6], chosen_ids: [7, 2], rejected_ids: [8, 9, 2] };
    expect(read({ ...ids, ref_chosen_logps: -1.5, ref_rejected_logps: -2 }).row).toMatchObject({
      chosen: { input_ids: [5, 6, 7, 2], labels: [-100, -100, 7, 2] },
      rejected: { input_ids: [5, 6, 8, 9, 2] },
      stated: [-1.5, -2],
    });
    const whole = { chosen_ids: ids.chosen_ids, rejected_ids: ids.rejected_ids };
    expect(read(whole).messages).toEqual(['"prompt_ids" is missing.']);
    expect(read({ ...whole, margin: 0.5 }, 'sft', 'reward').row).toMatchObject({ margin: 0.5 });
  });

  it.each([
    [{ prompt: 'a', chosen: 'b', rejected: 'b' }, /are the same/],
    [{ chosen: 'b', rejected: 'b' }, /are the same/],
    [{ prompt: 'a', chosen: 'b', rejected: '' }, /"rejected" is empty/],
    [{ prompt: 'a', chosen: [], rejected: [] }, /"chosen" is empty/],
    [{ prompt: 'a', chosen: 'b' }, /"rejected" is missing/],
    [{ prompt: 'a', chosen: 'b', rejected: [assistant('c')] }, /must be text as "chosen"/],
    [{ chosen: [user('a')], rejected: [user('b')] }, /no message of the assistant/],
    [{ prompt_ids: [1], chosen_ids: [], rejected_ids: [2] }, /"chosen_ids" is empty/],
    [{ prompt_ids: [1], chosen_ids: [2], rejected_ids: [2] }, /are the same/],
    [{ prompt_ids: [1], chosen_ids: [-2], rejected_ids: [2] }, /cannot be -2/],
    [{ prompt: 'a', chosen: 'b', rejected: 'c', margin: 'x' }, /"margin" must be a number/],
  ])('with faults are refused: %j', (row, message) => {
    const result = read(row);
    expect(result.row).toBeNull();
    expect(result.messages.join()).toMatch(message);
  });

  it('are no rows to learn one by one', () => {
    expect(read({ prompt: 'a', chosen: 'b', rejected: 'c' }, 'sft').messages.join()).toMatch(
      /set "objective"/,
    );
  });
});

describe('labelled answers', () => {
  it.each([
    [true, true],
    [false, false],
    [1, true],
    ['False', false],
  ])('have the label %j', (label, desirable) => {
    const { row } = read({ prompt: 'a', completion: 'b', label }, 'kto');
    expect(row).toMatchObject({ kind: 'unpaired', desirable, answer: { completion: 'b' } });
  });

  it('need one', () => {
    expect(read({ prompt: 'a', completion: 'b', label: 'good' }, 'kto').messages.join()).toMatch(
      /must be true \(a good answer\) or false/,
    );
    expect(read({ prompt: 'a', completion: 'b' }, 'kto').messages).toEqual(['"label" is missing.']);
  });
});
