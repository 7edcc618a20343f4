import { describe, expect, test } from 'vitest';
import { jsonRowsIn } from '../../../src/host/dataPage/jsonRows';
import { UndoStack, type Undoable } from '../../../src/host/dataPage/undo';

describe('rows in the answer of a chat model', () => {
  test('are the lines that are JSON objects', () => {
    const answer = 'Here:\n```jsonl\n{"a":"b"},\n  {"c":1}\n[1]\n{"broken\n```\n';
    expect(jsonRowsIn(answer)).toEqual(['{"a":"b"}', '{"c":1}']);
  });

  test('are at most 50', () => {
    expect(jsonRowsIn('{"a":1}\n'.repeat(80))).toHaveLength(50);
  });
});

test('the last actions can be undone, and stay until they are', () => {
  const stack = new UndoStack();
  const action = (row: number): Undoable => ({ kind: 'edit', row, before: 'a', after: 'b' });
  for (let row = 0; row < 120; row++) stack.push(action(row));
  expect(stack.length).toBe(100);
  const last = stack.last!;
  expect(last).toMatchObject({ row: 119 });
  stack.drop(last);
  expect(stack.last).toMatchObject({ row: 118 });
  stack.clear();
  expect(stack.last).toBeUndefined();
});
