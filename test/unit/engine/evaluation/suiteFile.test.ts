import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { columnsOf } from '../../../../src/engine/evaluation/columns';
import { checkTask, readSuites } from '../../../../src/engine/evaluation/suiteFile';
import { temp } from '../../../support/temp';

const check = { kind: 'exact', expected: 'b' };

function suite(...rows: readonly unknown[]): string {
  const file = path.join(temp(), 'evals.jsonl');
  const text = rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row)));
  writeFileSync(file, text.join('\n'));
  return file;
}

const pictured = (role: string, image: string) => ({
  messages: [{ role, content: [{ type: 'image', image }] }],
});

describe('a suite', () => {
  it('has the name of its file, unless a row has another', async () => {
    const file = suite({ prompt: 'a', check }, '', { prompt: 'a', suite: 'git', check });
    const cases = await readSuites([file, file]);
    expect(cases.map(({ index, suite: name, line }) => [index, name, line])).toEqual([
      [0, 'evals', 1],
      [1, 'git', 3],
      [2, 'evals', 1],
      [3, 'git', 3],
    ]);
  });

  it.each([
    [[], 'The suite has no row.'],
    [['{"prompt": "a"'], 'The row is not JSON.'],
    [['{"prompt": "a", "prompt": "b"}'], 'The key "prompt" is duplicated.'],
    [[{ prompt: 'a' }], '"check" is missing.'],
    [[{ prompt: 'a', check: { kind: 'spelling' } }], '"check.kind" must be one of exact, contains'],
    [[{ prompt: 'a', check: { kind: 'exact' } }], '"check.expected"'],
    [[{ prompt: 'a', text: 'b', check }], 'exactly one of "prompt", "messages" and "text"'],
    [[{ text: 'b', check }], 'needs "prompt" or "messages"'],
    [[{ prompt: 'b', check: { kind: 'label', expected: 'a' } }], 'needs "text"'],
    [[{ prompt: 'b', check: { kind: 'perplexity' } }], 'needs "text" or an expected answer'],
    [[{ messages: [{ role: 'assistant', content: 'b' }], check }], 'nothing to answer'],
    [[{ ...pictured('user', 'http://a/b.png'), check }], 'not an address'],
    [[{ ...pictured('tool', 'b.png'), check }], 'of the role tool cannot have images'],
    [
      [{ ...pictured('user', 'b.png'), check: { kind: 'judge' } }],
      'of the kind judge is not supported for a question with images',
    ],
    [
      [{ messages: [{ role: 'user', content: [{ type: 'video', video: 'a' }] }], check }],
      'must be text, or a list of parts',
    ],
    [[{ prompt: 'a', plain: true, system: 'b', check }], '"plain" belongs to'],
    [
      [{ prompt: 'a', check: { kind: 'regex', pattern: '(' } }],
      'not a valid RE2 regular expression',
    ],
  ])('is refused: %j', async (rows, message) => {
    await expect(readSuites([suite(...rows)])).rejects.toThrow(message);
  });

  it('is refused with all its wrong rows', async () => {
    const file = suite({ prompt: 'a' }, { prompt: 'a', check }, { check });
    await expect(readSuites([file])).rejects.toMatchObject({
      problems: [{ place: { line: 1 } }, { place: { line: 3 } }],
    });
  });

  it('has the text of messages whose parts are all text', async () => {
    const parts = ['Undo ', 'my commit'].map((text) => ({ type: 'text', text }));
    const turns = [
      { role: 'system', content: parts },
      { role: 'user', content: [...parts, { type: 'image', path: 'a.png' }] },
    ];
    const [read] = await readSuites([suite({ messages: turns, check })]);
    expect(read?.row.messages).toEqual([
      { role: 'system', content: 'Undo my commit' },
      { role: 'user', content: [...parts, { type: 'image', image: 'a.png' }] },
    ]);
  });

  it('must fit the task', async () => {
    const cases = await readSuites([suite({ prompt: 'a', check })]);
    expect(() => checkTask(cases, 'causal_lm')).not.toThrow();
    expect(() => checkTask(cases, 'seq_cls')).toThrow('kind exact does not fit the task seq_cls');
    expect(() => checkTask(cases, 'embedding')).toThrow('task embedding');
  });
});

describe('columns', () => {
  it('have different names', () => {
    const run = path.resolve('.lora/runs/20260101-000000-abcd');
    const columns = columnsOf([
      'base',
      `adapter=${run}/adapter`,
      `checkpoint=${run}/checkpoints/step-10`,
      'adapter=one',
      'adapter=other/one',
      'endpoint=http://127.0.0.1:8000/v1/#base+one',
    ]);
    expect(columns.map(({ name }) => name)).toEqual([
      'base',
      '20260101-000000-abcd/adapter',
      '20260101-000000-abcd/step-10',
      'one',
      'one (2)',
      'base+one at 127.0.0.1:8000',
    ]);
    expect(columns.at(-1)).toMatchObject({ url: 'http://127.0.0.1:8000/v1', model: 'base+one' });
  });

  it.each([
    ['model=a', '--column must be'],
    ['adapter=', '--column must be'],
    ['endpoint=http://a/v1', 'an address and a model'],
    ['endpoint=file:///etc/passwd#a', 'http or https'],
    ['endpoint=http://me:secret@a/v1#b', 'must not contain a password'],
  ])('are refused: %s', (text, message) => {
    expect(() => columnsOf([text])).toThrow(message);
  });
});
