import { expect, it } from 'vitest';
import { bucketOf } from '../../../src/models/attention/scoreBias';

const MPNET = { buckets: 32, max_distance: 128, bidirectional: true };

it('has the buckets of an encoder and of a decoder that transformers has for T5', () => {
  const sizes = { buckets: 8, max_distance: 16 };
  const distances = Array.from({ length: 39 }, (_, i) => i - 19); // of the key from the query
  const of = (bidirectional: boolean) =>
    distances.map((distance) => bucketOf({ ...sizes, bidirectional }, 50, 50 + distance)).join('');
  expect(of(true)).toBe('333333333333332222105666677777777777777');
  expect(of(false)).toBe('777777776666554432100000000000000000000');
});

it('has buckets of one distance each, then wider ones, for keys before and after the query', () => {
  const before = [0, 1, 7, 8, 11, 12, 15, 16, 23, 32, 64, 127, 128, 500];
  expect(before.map((distance) => bucketOf(MPNET, distance, 0))).toEqual([
    0, 1, 7, 8, 8, 9, 9, 10, 11, 12, 14, 15, 15, 15,
  ]);
  expect([1, 7, 8, 500].map((distance) => bucketOf(MPNET, 0, distance))).toEqual([17, 23, 24, 31]);
});
