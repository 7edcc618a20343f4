import { expect, it } from 'vitest';
import { Clicks } from '../../../../src/host/ui/clicks';

it('takes two clicks on a row in short order for a double click', () => {
  const clicks = new Clicks();
  expect(clicks.isDouble('a', 1_000)).toBe(false);
  expect(clicks.isDouble('a', 1_200)).toBe(true);
  expect(clicks.isDouble('a', 1_400)).toBe(false);
  expect(clicks.isDouble('b', 1_500)).toBe(false);
  expect(clicks.isDouble('b', 9_000)).toBe(false);
});
