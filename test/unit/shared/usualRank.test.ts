import { describe, expect, it } from 'vitest';
import { usualRank } from '../../../src/shared/usualRank';

describe('the rank to start with', () => {
  it('grows with the number of examples, and is 8 where that is unknown', () => {
    expect([100, 499, 500, 9_999, 50_000, 1e6, null].map(usualRank)).toEqual([
      4, 4, 8, 8, 16, 32, 8,
    ]);
  });
});
