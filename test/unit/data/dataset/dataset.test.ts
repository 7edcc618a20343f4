import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROW_SETTINGS, type RowSettings } from '../../../../src/data/rows/settings';
import { readDataset, scanDataset } from '../../../support/scannedRows';
import type { Row } from '../../../../src/data/rows/row';
import { LoraError } from '../../../../src/shared/errors';
import { parseRecipe } from '../../../../src/shared/recipeFile';

function fileOf(...lines: readonly (object | string)[]): string {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'lora-data-')), 'data.jsonl');
  writeFileSync(
    file,
    lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''),
  );
  return file;
}

const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown) => ({ role: 'assistant', content });
const chat = (...messages: object[]) => ({ messages });
const kindsOf = async (...rows: object[]) => (await readDataset(fileOf(...rows))).rows;

describe('dataset rows', () => {
  it('have their format detected, also in one file', async () => {
    const rows = await kindsOf(
      chat(user('a'), assistant('b')),
      { prompt: 'a', completion: 'b' },
      { text: 'abc' },
      { instruction: 'do', input: 'this', output: 'done' },
      {
        conversations: [
          { from: 'system', value: 's' },
          { from: 'human', value: 'a' },
          { from: 'gpt', value: 'b' },
        ],
      },
      { input_ids: [1, 2, 3], labels: [-100, 2, 3], attention_mask: [1, 1, 1] },
    );
    expect(rows.map((row) => [row.kind, row.line])).toEqual([
      ['messages', 1],
      ['completion', 2],
      ['text', 3],
      ['messages', 4],
      ['messages', 5],
      ['tokenized', 6],
    ]);
    expect(rows[4]).toMatchObject({
      messages: [
        { role: 'system', content: 's' },
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'b' },
      ],
    });
  });

  it('put the input below the instruction in Alpaca format', async () => {
    const [row, plain] = await kindsOf(
      { instruction: 'Translate.', input: 'Haus', output: 'house' },
      { instruction: 'Say hi.', input: '', output: 'hi' },
    );
    expect(row).toMatchObject({ messages: [user('Translate.\n\nHaus'), assistant('house')] });
    expect(plain).toMatchObject({ messages: [user('Say hi.'), assistant('hi')] });
  });

  it('may be separated by empty lines and CRLF, after a byte order mark', async () => {
    const file = fileOf();
    writeFileSync(
      file,
      `\ufeff${JSON.stringify({ text: 'a' })}\r\n\r\n${JSON.stringify({ text: 'b' })}`,
    );
    expect((await readDataset(file)).rows.map((row) => row.line)).toEqual([1, 3]);
  });

  it('drop the padding of token ids', async () => {
    const [row] = await kindsOf({
      input_ids: [5, 6, 0, 0],
      labels: [-100, 6, -100, -100],
      attention_mask: [1, 1, 0, 0],
    });
    expect(row).toMatchObject({ input_ids: [5, 6], labels: [-100, 6] });
  });
});

describe('chats with unexpected role order', () => {
  const system = (content: unknown) => ({ role: 'system', content });
  const textOf = (content: unknown) => (typeof content === 'string' ? content : 'no text');
  const roles = (row: Row | undefined) =>
    row?.kind === 'messages'
      ? row.messages.map(({ role, content }) => `${role}: ${textOf(content)}`)
      : null;
  const shareGpt = {
    conversations: [
      { from: 'gpt', value: 'hi' },
      { from: 'human', value: 'a' },
      { from: 'human', value: 'b' },
      { from: 'gpt', value: 'c' },
      { from: 'human', value: 'd' },
    ],
  };
  type Choice = keyof RowSettings['chats'];
  const cases: readonly (readonly [Choice, object, readonly string[], string])[] = [
    [
      'same_role',
      chat(user('a'), user('b'), assistant('c'), assistant('d')),
      ['user: a\n\nb', 'assistant: c\n\nd'],
      'messages[1]',
    ],
    [
      'assistant_first',
      chat(system('s'), assistant('b'), user('a'), assistant('c')),
      ['system: s', 'user: a', 'assistant: c'],
      'messages[1]',
    ],
    [
      'user_last',
      chat(user('a'), assistant('b'), user('c')),
      ['user: a', 'assistant: b'],
      'messages[2]',
    ],
  ];
  const settings = (change: object): RowSettings => ({
    ...ROW_SETTINGS,
    chats: { ...ROW_SETTINGS.chats, ...change },
  });

  it.each(cases)(
    '%s: repairs, skips or rejects the row as configured',
    async (key, row, mended, place) => {
      const file = fileOf({ text: 'good' }, row, row);
      const all = await scanDataset(file);
      expect(all.rows.slice(1).map(roles)).toEqual([mended, mended]);
      expect(all.problems).toMatchObject([
        {
          severity: 'warning',
          place: { file, line: 2 },
          message: expect.stringMatching(
            new RegExp(`chats\\.${key}\\).*\\(2 rows; also line 3\\)`),
          ) as unknown,
        },
      ]);
      const skipped = await scanDataset(file, settings({ [key]: 'skip' }));
      expect(skipped.rows).toHaveLength(1);
      expect(skipped.problems).toMatchObject([
        {
          severity: 'warning',
          message: expect.stringMatching(/the row is skipped.*2 rows/) as unknown,
        },
      ]);
      const refused = await scanDataset(file, settings({ [key]: 'error' }));
      expect(refused.rows).toHaveLength(1);
      expect(refused.problems).toMatchObject(
        [2, 3].map((line) => ({
          severity: 'error',
          place: { line, key: place },
          message: expect.stringContaining(`chats.${key}`) as unknown,
        })),
      );
    },
  );

  it('repairs several problems at once in ShareGPT format', async () => {
    const { rows, problems } = await scanDataset(fileOf(shareGpt));
    expect(roles(rows[0])).toEqual(['user: a\n\nb', 'assistant: c']);
    expect(problems.map((p) => p.severity)).toEqual(['warning', 'warning', 'warning']);
  });

  it('rejects or skips chats without an answer', async () => {
    const rows = [chat(user('a')), chat(assistant('b')), chat(assistant('b'), user('a'))];
    const refused = await scanDataset(fileOf(...rows));
    expect(
      refused.problems.filter((p) => p.severity === 'error').map((p) => p.place?.line),
    ).toEqual([1, 2, 3]);
    const skipped = await scanDataset(fileOf(...rows), {
      ...ROW_SETTINGS,
      unlabelled_rows: 'skip',
    });
    expect([skipped.rows, skipped.problems.filter((p) => p.severity === 'error')]).toEqual([
      [],
      [],
    ]);
  });

  it('repairs any chat to an optional system message, then alternating user and assistant messages up to an answer', async () => {
    const messages = fc.array(fc.constantFrom(user('u'), assistant('a')), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(messages, fc.boolean(), async (turns, withSystem) => {
        const { rows } = await scanDataset(
          fileOf(chat(...(withSystem ? [system('s')] : []), ...turns)),
        );
        const have = rows.map((row) =>
          row.kind === 'messages' ? row.messages.map((m) => m.role[0]).join('') : '',
        );
        for (const order of have) expect(order).toMatch(withSystem ? /^s(ua)+$/ : /^(ua)+$/);
        expect(have).toHaveLength(
          turns.some(
            (m, i) =>
              m.role === 'assistant' && turns.slice(0, i).some((before) => before.role === 'user'),
          )
            ? 1
            : 0,
        );
      }),
      { numRuns: 40 },
    );
  });

  it("uses the recipe's defaults", () => {
    const { task, chats, unlabelled_rows } = parseRecipe(
      '{"base": "b", "dataset": "d"}',
      'lora.json',
    );
    expect({ task, chats, unlabelled_rows }).toEqual(ROW_SETTINGS);
  });
});

describe('dataset errors', () => {
  const cases: readonly (readonly [string, object | string, RegExp])[] = [
    ['bad JSON', '{"text": "a"', /Not valid JSON/],
    ['an array', '[1]', /must be a JSON object/],
    ['a misspelt key', { mesages: [] }, /did you mean "messages"/],
    ['nothing known', { question: 1 }, /known rows have/],
    ['a wrong type', { prompt: 'a', completion: 3 }, /"completion" must be text/],
    ['an empty answer', { prompt: 'a', completion: ' ' }, /empty/],
    ['an empty assistant turn', chat(user('a'), assistant('')), /answer is empty/],
    [
      'a system message in the middle',
      chat(user('a'), { role: 'system', content: 's' }, assistant('b')),
      /system message must come first/,
    ],
    ['no assistant turn', chat(user('a')), /no assistant message/],
    ['an unknown role', chat({ role: 'asistant', content: 'a' }), /did you mean "assistant"/],
    [
      'labels of another length',
      { input_ids: [1, 2], labels: [1] },
      /"labels" has 1 entry, but "input_ids" has 2/,
    ],
    ['a fraction among ids', { input_ids: [1, 2.5] }, /whole numbers/],
    ['a negative id', { input_ids: [-1, 2] }, /cannot be -1/],
  ];

  it.each(cases)('report %s at its line', async (_name, row, message) => {
    const file = fileOf({ text: 'good' }, row);
    const { rows, problems } = await scanDataset(file);
    expect(rows).toHaveLength(1);
    const errors = problems.filter((p) => p.severity === 'error');
    expect(errors.length).toBeGreaterThan(0);
    expect(errors[0]!.place).toMatchObject({ file, line: 2 });
    expect(errors.map((p) => `${p.message} ${p.place?.key ?? ''}`).join('\n')).toMatch(message);
  });

  it('are reported all at once', async () => {
    const error = await readDataset(
      fileOf({ text: 'good' }, '{', { mesages: [] }, { prompt: 1, completion: 2 }),
    ).catch((e: unknown) => e as LoraError);
    expect(error).toBeInstanceOf(LoraError);
    expect((error as LoraError).problems.map((p) => p.place?.line)).toEqual([2, 3, 4, 4]);
    expect((error as LoraError).message).toMatch(/4 errors in 3 rows/);
  });

  it('include missing and empty files and folders', async () => {
    const file = fileOf();
    for (const [target, message] of [
      [`${file}.gone`, /does not exist|no such/i],
      [file, /empty|no rows/i],
      [path.dirname(file), /folder|directory/i],
    ] as const) {
      const error = await readDataset(target).catch((e: unknown) => e as LoraError);
      expect(error).toBeInstanceOf(LoraError);
      expect((error as LoraError).describe()).toMatch(message);
    }
  });

  it('are all found in 100,000 rows and printed up to the twentieth', async () => {
    const rows = Array.from({ length: 100_000 }, (_, i) =>
      i % 1000 === 999 ? '{' : '{"text":"a line of text"}',
    );
    const error = await readDataset(fileOf(...rows)).catch((e: unknown) => e as LoraError);
    expect((error as LoraError).problems).toHaveLength(100);
    expect((error as LoraError).describe().split('\n').length).toBeLessThan(30);
  });
});
