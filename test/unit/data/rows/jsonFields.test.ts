import { describe, expect, test } from 'vitest';
import { jsonFields, onOneLine, withFields } from '../../../../src/data/rows/jsonFields';

const ROW =
  '{"messages": [{"role":"user","content":"Hi \\u00e9"}, {"role":"assistant","content":"1"}], "n": 12345678901234567890, "x": null}';

describe('the texts of a row of JSON', () => {
  test('are listed with their paths, in order', () => {
    expect(jsonFields(ROW)).toEqual([
      { path: ['messages', 0, 'role'], value: 'user' },
      { path: ['messages', 0, 'content'], value: 'Hi é' },
      { path: ['messages', 1, 'role'], value: 'assistant' },
      { path: ['messages', 1, 'content'], value: '1' },
    ]);
  });

  test('are not listed where it is no JSON object, or has too many', () => {
    expect(jsonFields('{"a": "b",}')).toEqual([]);
    expect(jsonFields('["a"]')).toEqual([]);
    const many = JSON.stringify({ tokens: Array.from({ length: 201 }, () => 'a') });
    expect(jsonFields(many)).toEqual([]);
  });

  test('are replaced, and all else stays as it is written', () => {
    const fields = [
      { path: ['messages', 1, 'content'], value: 'two\n"lines"' },
      { path: ['messages', 0, 'content'], value: 'Ho' },
    ];
    expect(withFields(ROW, fields)).toBe(
      ROW.replace('"1"', '"two\\n\\"lines\\""').replace('"Hi \\u00e9"', '"Ho"'),
    );
    expect(withFields(ROW, [])).toBe(ROW);
  });

  test('with keys that are names of objects', () => {
    const row = '{"__proto__":"a","toString":"b"}';
    expect(withFields(row, [{ path: ['__proto__'], value: 'c' }])).toBe(
      '{"__proto__":"c","toString":"b"}',
    );
  });
});

test('a document becomes one line, with its tokens as they are', () => {
  expect(onOneLine('{\n  "a": 1.0,\r\n  "b": "x\\ny",\n  "c": [1,\n 2]\n}\n')).toBe(
    '{"a": 1.0,"b": "x\\ny","c": [1,2]}',
  );
  expect(onOneLine('{"a":  1}')).toBe('{"a":  1}');
});
