import { expect, it } from 'vitest';
import { parseExactly } from '../../../src/shared/exactJson';
import { exactText } from '../../../src/shared/exactText';

const TEXTS = [
  '{"a": 1.0, "b": [12345678901234567890, 1e+30, -0.5, 1.5e-07], "c": {}}',
  '{"2": [], "1": {"x": null, "y": true}, "__proto__": "z"}',
  '[["a\\n\\"b\\" é"], {"k": []}]',
];

it.each(TEXTS)('writes JSON that gives the same values again: %s', (text) => {
  const value = parseExactly(text);
  expect(parseExactly(exactText(value))).toEqual(value);
  expect(parseExactly(exactText(value, 2))).toEqual(value);
});

it('writes it on one line, or with an indentation', () => {
  const value = { a: [1, { b: 'c' }], d: {} };
  expect(exactText(value)).toBe('{"a": [1, {"b": "c"}], "d": {}}');
  expect(exactText(value, 2)).toBe(JSON.stringify(value, null, 2));
});
