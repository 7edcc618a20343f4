import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../../src/shared/random';
import { ratingsOf, type Comparison } from '../../../../src/shared/evaluation/ratings';

const times = (count: number, comparison: Comparison) =>
  Array.from({ length: count }, () => comparison);

describe('ratingsOf', () => {
  it('rates two columns by the logarithm of their odds', () => {
    const many = [
      ...times(3_000, { a: 0, b: 1, score: 1 }),
      ...times(1_000, { a: 1, b: 0, score: 1 }),
    ];
    const [first, second] = ratingsOf(2, many);
    // odds of three to one
    expect(first!.rating - second!.rating).toBeCloseTo(400 * Math.log10(3), 0);
    expect((first!.rating + second!.rating) / 2).toBeCloseTo(1_000, 6);
    expect(first!.low).toBeGreaterThan(second!.high);
    expect([first!.wins, first!.ties, first!.losses]).toEqual([3_000, 0, 1_000]);
  });

  it('keeps the rating of who has won everything finite, and its interval wide for few votes', () => {
    const [first] = ratingsOf(2, times(3, { a: 0, b: 1, score: 1 }));
    expect(first!.rating).toBeGreaterThan(1_000);
    expect(first!.high).toBeLessThan(1_400);
    const mixed = [...times(2, { a: 0, b: 1, score: 1 }), { a: 0, b: 1, score: 0 } as const];
    const [few] = ratingsOf(2, mixed);
    expect(few!.low).toBeLessThan(1_000);
    expect(few!.high).toBeGreaterThan(1_000);
  });

  it('rates ties equally, and columns without votes at the mean', () => {
    for (const { rating } of ratingsOf(2, times(9, { a: 0, b: 1, score: 0.5 })))
      expect(rating).toBeCloseTo(1_000, 6);
    expect(ratingsOf(3, []).map(({ rating, low, high }) => [rating, low, high])).toEqual(
      [0, 1, 2].map(() => [1_000, 1_000, 1_000]),
    );
  });

  it('finds the order and distances of columns that its votes are drawn from', () => {
    const strengths = [4, 2, 1, 0.5];
    const random = createRandom(1, 'votes');
    const votes = Array.from({ length: 6_000 }, (): Comparison => {
      const a = Math.floor(random() * 4);
      const b = (a + 1 + Math.floor(random() * 3)) % 4;
      const isWon = random() < strengths[a]! / (strengths[a]! + strengths[b]!);
      return { a, b, score: isWon ? 1 : 0 };
    });
    const ratings = ratingsOf(4, votes);
    for (let i = 0; i < 3; i++) {
      const distance = ratings[i]!.rating - ratings[i + 1]!.rating;
      expect(Math.abs(distance - 400 * Math.log10(2))).toBeLessThan(30);
    }
    for (const { rating, low, high } of ratings) {
      expect(low).toBeLessThanOrEqual(rating);
      expect(high).toBeGreaterThanOrEqual(rating);
      expect(high - low).toBeLessThan(60);
    }
  });
});
