import { expect, test } from 'vitest';
import { countOf, fill } from '../../../src/shared/values';

test('a noun is in the singular for 1 alone', () => {
  expect([0, 1, 2].map((n) => countOf(n, 'step'))).toEqual(['0 steps', '1 step', '2 steps']);
  expect(countOf(1234, 'row', (n) => n.toLocaleString('en-US'))).toBe('1,234 rows');
});

test('a noun that ends in y has a plural of its own', () => {
  expect([countOf(1, 'entry'), countOf(2, 'entry'), countOf(2, 'key')]).toEqual([
    '1 entry',
    '2 entries',
    '2 keys',
  ]);
});

test('a text has the words that fit its numbers', () => {
  const text = '{0} {0|row is|rows are} truncated, {1} {1|is|are} not';
  expect(fill(text, [1, 2])).toBe('1 row is truncated, 2 are not');
  expect(fill(text, ['1,001', '1'])).toBe('1,001 rows are truncated, 1 is not');
  expect(fill('{0} of {1}', ['{1|a|b}'])).toBe('{1|a|b} of {1}');
});
