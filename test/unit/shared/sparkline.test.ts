import { expect, it } from 'vitest';
import { sparkline } from '../../../src/shared/sparkline';

it('a sparkline scales values to bars, with a space for a value that is not a number', () => {
  expect(sparkline([0, 1, NaN, 2])).toBe('▁▅ █');
  expect(sparkline([3, 3])).toBe('▁▁');
  expect(sparkline([])).toBe('');
});
