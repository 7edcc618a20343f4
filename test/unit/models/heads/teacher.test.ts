import { describe, expect, it } from 'vitest';
import { largestOf, targetsFrom } from '../../../../src/models/heads/teacher';
import { createRandom } from '../../../../src/shared/random';

describe('largestOf', () => {
  it.each([1, 2, 7, 50, 100])('finds the %i largest, the largest first', (k) => {
    const random = createRandom(k, 'numbers');
    const numbers = Float32Array.from({ length: 100 }, () => Math.floor(20 * random()));
    const sorted = Array.from(numbers, (_, i) => i).sort((a, b) => numbers[b]! - numbers[a]!);
    expect([...largestOf(numbers, k)]).toEqual(sorted.slice(0, k));
  });

  it('takes those with lower indices of equal ones', () => {
    expect([...largestOf(Float32Array.of(1, 5, 5, 1, 5), 2)]).toEqual([1, 2]);
  });
});

it('targetsFrom takes some positions', () => {
  const targets = {
    ...{ temperature: 1, kd_ratio: 0.5, top_k: 2 },
    ids: Int32Array.of(1, 2, 3, 4, 5, 6),
    logps: Float32Array.of(-1, -2, -3, -4, -5, -6),
  };
  expect(targetsFrom(targets, 1, 2)).toEqual({
    ...targets,
    ids: Int32Array.of(3, 4, 5, 6),
    logps: Float32Array.of(-3, -4, -5, -6),
  });
});
