import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readDataset, scanDataset } from '../../../src/data/dataset';
import { LoraError } from '../../../src/shared/errors';

function fileOf(...lines: readonly (object | string)[]): string {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'lora-data-')), 'data.jsonl');
  writeFileSync(file, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
  return file;
}

const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown) => ({ role: 'assistant', content });
const chat = (...messages: object[]) => ({ messages });
const kindsOf = async (...rows: object[]) => (await readDataset(fileOf(...rows))).rows;

describe('rows', () => {
  it('are told apart by themselves, also in one file', async () => {
    const rows = await kindsOf(
      chat(user('a'), assistant('b')),
      { prompt: 'a', completion: 'b' },
      { text: 'abc' },
      { instruction: 'do', input: 'this', output: 'done' },
      { conversations: [{ from: 'system', value: 's' }, { from: 'human', value: 'a' }, { from: 'gpt', value: 'b' }] },
      { input_ids: [1, 2, 3], labels: [-100, 2, 3], attention_mask: [1, 1, 1] },
    );
    expect(rows.map((row) => [row.kind, row.line])).toEqual([['messages', 1], ['completion', 2], ['text', 3], ['messages', 4], ['messages', 5], ['tokenized', 6]]);
    expect(rows[4]).toMatchObject({ messages: [{ role: 'system', content: 's' }, { role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }] });
  });

  it('of Alpaca put the input below the instruction', async () => {
    const [row, plain] = await kindsOf({ instruction: 'Translate.', input: 'Haus', output: 'house' }, { instruction: 'Say hi.', input: '', output: 'hi' });
    expect(row).toMatchObject({ messages: [user('Translate.\n\nHaus'), assistant('house')] });
    expect(plain).toMatchObject({ messages: [user('Say hi.'), assistant('hi')] });
  });

  it('may have empty lines, a byte order mark and Windows line ends between them', async () => {
    const file = fileOf();
    writeFileSync(file, `\ufeff${JSON.stringify({ text: 'a' })}\r\n\r\n${JSON.stringify({ text: 'b' })}`);
    expect((await readDataset(file)).rows.map((row) => row.line)).toEqual([1, 3]);
  });

  it('of padded token ids lose the padding', async () => {
    const [row] = await kindsOf({ input_ids: [5, 6, 0, 0], labels: [-100, 6, -100, -100], attention_mask: [1, 1, 0, 0] });
    expect(row).toMatchObject({ input_ids: [5, 6], labels: [-100, 6] });
  });

  it('that end on a question lose it, with a word about it', async () => {
    const { rows, problems } = await readDataset(fileOf(chat(user('a'), assistant('b'), user('c'))));
    expect(rows[0]).toMatchObject({ messages: [{ role: 'user' }, { role: 'assistant' }] });
    expect(problems).toMatchObject([{ severity: 'warning' }]);
  });
});

describe('faults', () => {
  const cases: readonly (readonly [string, object | string, RegExp])[] = [
    ['bad JSON', '{"text": "a"', /Not valid JSON/],
    ['an array', '[1]', /must be a JSON object/],
    ['a misspelt key', { mesages: [] }, /did you mean "messages"/],
    ['nothing known', { question: 1 }, /known rows have/],
    ['a wrong type', { prompt: 'a', completion: 3 }, /"completion" must be text/],
    ['an empty answer', { prompt: 'a', completion: ' ' }, /empty/],
    ['an empty assistant turn', chat(user('a'), assistant('')), /answer is empty/],
    ['two users running', chat(user('a'), user('b'), assistant('c')), /messages\[1\]|user/],
    ['the assistant first', chat(assistant('b'), user('a'), assistant('c')), /first|begin/],
    ['a system message in the middle', chat(user('a'), { role: 'system', content: 's' }, assistant('b')), /system message must come first/],
    ['no assistant turn', chat(user('a')), /no assistant message/],
    ['an unknown role', chat({ role: 'asistant', content: 'a' }), /did you mean "assistant"/],
    ['labels of another length', { input_ids: [1, 2], labels: [1] }, /"labels" has 1 entries, but "input_ids" has 2/],
    ['a fraction among ids', { input_ids: [1, 2.5] }, /whole numbers/],
    ['a negative id', { input_ids: [-1, 2] }, /cannot be -1/],
  ];

  it.each(cases)('%s is reported at its line', async (_name, row, message) => {
    const file = fileOf({ text: 'good' }, row);
    const { rows, problems } = await scanDataset(file);
    expect(rows).toHaveLength(1);
    const errors = problems.filter((p) => p.severity === 'error');
    expect(errors.length).toBeGreaterThan(0);
    expect(errors[0]!.place).toMatchObject({ file, line: 2 });
    expect(errors.map((p) => `${p.message} ${p.place?.key ?? ''}`).join('\n')).toMatch(message);
  });

  it('come all at once', async () => {
    const error = await readDataset(fileOf({ text: 'good' }, '{', { mesages: [] }, { prompt: 1, completion: 2 })).catch((e: unknown) => e as LoraError);
    expect(error).toBeInstanceOf(LoraError);
    expect((error as LoraError).problems.map((p) => p.place?.line)).toEqual([2, 3, 4, 4]);
    expect((error as LoraError).message).toMatch(/4 faults in 3 rows/);
  });

  it('of a whole file are told: missing, empty, a folder', async () => {
    const file = fileOf();
    for (const [target, message] of [[`${file}.gone`, /does not exist|no such/i], [file, /empty|no rows/i], [path.dirname(file), /folder|directory/i]] as const) {
      const error = await readDataset(target).catch((e: unknown) => e as LoraError);
      expect(error).toBeInstanceOf(LoraError);
      expect((error as LoraError).describe()).toMatch(message);
    }
  });

  it('in 100,000 rows are all found, and printed up to the twentieth', async () => {
    const rows = Array.from({ length: 100_000 }, (_, i) => (i % 1000 === 999 ? '{' : '{"text":"a line of text"}'));
    const error = await readDataset(fileOf(...rows)).catch((e: unknown) => e as LoraError);
    expect((error as LoraError).problems).toHaveLength(100);
    expect((error as LoraError).describe().split('\n').length).toBeLessThan(30);
  });
});
