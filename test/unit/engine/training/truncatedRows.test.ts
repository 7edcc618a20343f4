import { expect, it } from 'vitest';
import { describeTruncated } from '../../../../src/engine/training/prepare';

const statistics = (examples: number, truncated: number, longest: number) => ({
  examples,
  truncated,
  sequences: 1,
  longest,
  tokens: 0,
  labelled_tokens: 0,
});

it('rows that lose tokens are counted, with the limit that cuts them', () => {
  const data = { train: statistics(9, 2, 60), validation: statistics(1, 1, 80) };
  expect(describeTruncated(data, 48, 2048)).toBe(
    '3 of 10 rows are truncated to max_length = 48 tokens; the longest has 80.',
  );
  expect(describeTruncated(data, 4096, 64)).toBe(
    '3 of 10 rows are truncated to 64 tokens, the most that the model supports (max_length is 4096); the longest has 80.',
  );
});

it('nothing is said where no row is truncated', () => {
  const data = { train: statistics(9, 0, 40), validation: statistics(0, 0, 0) };
  expect(describeTruncated(data, 48, 32)).toBeNull();
});
