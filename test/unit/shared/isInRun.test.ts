import { expect, it } from 'vitest';
import { isInRun } from '../../../src/shared/run';

it.each(['adapter', 'checkpoints/step-5', 'a\\b', '..a', 'a..b/c'])('%s is in the run', (inner) => {
  expect(isInRun(inner)).toBe(true);
});

it.each([
  '',
  '..',
  '../adapter',
  'adapter/../../x',
  'a\\..\\..\\x',
  '/etc',
  '\\\\server\\share',
  '//server/share',
  'C:\\x',
  'c:x',
  'a\0b',
])('%j is not in the run', (inner) => {
  expect(isInRun(inner)).toBe(false);
});
