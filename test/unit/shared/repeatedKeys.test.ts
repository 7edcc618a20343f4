import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ProblemCollector } from '../../../src/data/dataset/problems';
import { readRow } from '../../../src/data/rows/readRow';
import { repeatedKey } from '../../../src/shared/repeatedKeys';
import { RowReport } from '../../../src/data/rows/rowReport';
import { ROW_SETTINGS } from '../../../src/data/rows/settings';

it('finds a key that stands twice in one object, with its path', () => {
  for (const [text, path] of [
    ['{"text": "a", "text": "b"}', 'text'],
    ['{"a": {"b": 1}, "b": [{"c": 1}, {"c": 1, "c": 2}]}', 'b[1].c'],
    ['{"messages": [{"role": "user", "content": "}", "role": "x"}]}', 'messages[0].role'],
    ['{"a\\u0062": 1, "ab": 2}', 'ab'],
    ['{"a\\"": 1, "b": "\\\\", "a\\"": 2}', 'a"'],
    ['{"": 1, "": 2}', ''],
    ['[1, {"a": 1, "a": 2}]', '[1].a'],
    ['{"__proto__": 1, "__proto__": 2}', '__proto__'],
  ] as const)
    expect([text, repeatedKey(text)?.path]).toEqual([text, path]);
});

it('finds none where keys are the same in different objects, or only in texts', () => {
  for (const text of [
    '{"a": {"a": {"a": "a"}}}',
    '[{"a": 1}, {"a": 2}]',
    '{"a": ["a", "a", ":", "{\\"a\\":1,\\"a\\":2}"]}',
    '3',
    '"a"',
    '[]',
    '{}',
  ])
    expect([text, repeatedKey(text)]).toEqual([text, null]);
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(repeatedKey(JSON.stringify(value))).toBeNull();
    }),
  );
});

it('finds any key that is repeated in an object of texts', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string(), { minKeys: 1 }), fc.nat(), (own, pick) => {
      const entries = Object.entries(own).map((pair) => pair.map((one) => JSON.stringify(one)));
      const [key] = entries[pick % entries.length]!;
      const text = `{${[...entries.map((pair) => pair.join(':')), `${key!}:""`].join(',')}}`;
      expect(JSON.stringify(repeatedKey(text)?.key)).toBe(key);
    }),
  );
});

const read = (text: string) => {
  const problems = new ProblemCollector('f');
  const report = new RowReport(problems, 7);
  const row = readRow(text, { line: 7, report, settings: ROW_SETTINGS });
  return { row, problems: problems.problems() };
};

it('is an error of the row, by line and key', () => {
  expect(read('{"text": "a", "text": "b"}')).toEqual({
    row: null,
    problems: [
      {
        severity: 'error',
        place: { file: 'f', line: 7, key: 'text' },
        message: expect.stringMatching(/"text" is duplicated/) as unknown,
      },
    ],
  });
});

it('takes null in the columns of other formats for absent', () => {
  expect(
    read('{"messages": null, "prompt": "a", "completion": "b", "text": null, "source": null}'),
  ).toEqual({ row: { kind: 'completion', line: 7, prompt: 'a', completion: 'b' }, problems: [] });
  expect(read('{"input_ids": [1, 2], "labels": null, "attention_mask": null}').row).toMatchObject({
    input_ids: [1, 2],
    labels: [1, 2],
    attention_mask: [1, 1],
  });
  expect(read('{"prompt": "a", "completion": null, "text": null}').problems).toMatchObject([
    { message: '"completion" must be text, not null.', place: { key: 'completion' } },
  ]);
  expect(read('{"prompt": null, "completion": null, "text": null}').problems).toMatchObject([
    { message: expect.stringMatching(/^All values of the row are null/) as unknown },
  ]);
});

it.each([
  ['{"text": NaN}', 'NaN and Infinity are not JSON'],
  ['{"text": "a"}\r{"text": "b"}', 'Lines must end with LF'],
  ['{"text": "a\0"}', 'NUL bytes'],
])('says what is unusual about %j', (text, words) => {
  expect(read(text).problems[0]!.message).toContain(words);
});
