import { expect, it } from 'vitest';
import { isDeeperThan } from '../../../src/shared/depth';

it('measures the depth of any value without calling itself', () => {
  expect(isDeeperThan(1, 0)).toBe(false);
  expect(isDeeperThan([], 0)).toBe(true);
  expect(isDeeperThan([1, { a: [] }], 3)).toBe(false);
  expect(isDeeperThan([1, { a: [] }], 2)).toBe(true);
  const deep = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`) as unknown;
  expect(isDeeperThan(deep)).toBe(true);
});
