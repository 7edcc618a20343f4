import { expect, test } from 'vitest';
import { countOf } from '../../../src/shared/values';

test('a noun is in the singular for 1 alone', () => {
  expect([0, 1, 2].map((n) => countOf(n, 'step'))).toEqual(['0 steps', '1 step', '2 steps']);
  expect(countOf(1234, 'row', (n) => n.toLocaleString('en-US'))).toBe('1,234 rows');
});
