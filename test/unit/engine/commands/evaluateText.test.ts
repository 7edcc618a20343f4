import { expect, it } from 'vitest';
import { canBecome } from '../../../../src/engine/commands/evaluateText';

it.each([
  ['', 'git status', true],
  ['git', 'git status', true],
  [' git st', 'git status', true],
  ['git status', 'git status', true],
  ['git status\n ', ' git status ', true],
  ['git add', 'git status', false],
  ['git status -s', 'git status', false],
  ['To', 'git status', false],
  ['gü', 'grün', false],
])('an answer that begins %j can become %j: %s', (text, expected, can) =>
  expect(canBecome(text, expected)).toBe(can),
);
