import { describe, expect, it } from 'vitest';
import { patchOrder, type ImageVectors } from '../../../../src/models/vision/placedImage';
import { interpolatedPositions } from '../../../../src/models/vision/positions';
import { vectorsWithin } from '../../../../src/models/vision/placedVectors';
import { VectorCache } from '../../../../src/models/vision/vectorCache';

it('patches of a token follow each other', () => {
  const { rows, columns } = patchOrder({ height: 2, width: 4 }, 2);
  expect([...rows]).toEqual([0, 0, 1, 1, 0, 0, 1, 1]);
  expect([...columns]).toEqual([0, 1, 0, 1, 2, 3, 2, 3]);
});

describe('positions between learned ones', () => {
  const table = Float32Array.of(0, 10, 20, 30); // two by two, of one number

  it('are those of the corners at the corners, and the means between them', () => {
    const order = patchOrder({ height: 3, width: 3 }, 1);
    const positions = interpolatedPositions(table, 2, { height: 3, width: 3 }, order);
    expect([...positions]).toEqual([0, 5, 10, 10, 15, 20, 20, 25, 30]);
  });

  it('are the first ones of a single patch', () => {
    const order = patchOrder({ height: 1, width: 1 }, 1);
    expect([...interpolatedPositions(table, 2, { height: 1, width: 1 }, order)]).toEqual([0]);
  });
});

describe('vectors that are kept', () => {
  const vectors = (numbers: number): ImageVectors => ({
    tokens: 1,
    vectors: new Float32Array(numbers / 2),
    deepstack: [new Float32Array(numbers / 2)],
  });

  it('are computed once, and within a bound those that were used last', async () => {
    const cache = new VectorCache(80);
    const computed: string[] = [];
    const get = (key: string, numbers = 10) =>
      cache.of(
        () => Promise.resolve(key),
        () => {
          computed.push(key);
          return Promise.resolve(vectors(numbers));
        },
      );
    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) await get(key);
    expect(computed).toEqual(['a', 'b', 'c', 'b']);
    await get('large', 1000);
    await get('large');
    expect(computed).toEqual(['a', 'b', 'c', 'b', 'large']);
  });

  it('are not kept of an image that changes while they are computed', async () => {
    const cache = new VectorCache(80);
    let version = 1;
    const key = () => Promise.resolve(`image ${version}`);
    await cache.of(key, () => {
      version = 2;
      return Promise.resolve(vectors(2));
    });
    version = 1;
    const again = vectors(4);
    expect(await cache.of(key, () => Promise.resolve(again))).toBe(again);
  });
});

it('the vectors of a part of a prompt are those of its tokens', () => {
  const all = {
    tokens: 3,
    passes: [],
    rows: Int32Array.of(1, 2, 6),
    vectors: Float32Array.of(1, 1, 2, 2, 6, 6),
    deepstack: [Float32Array.of(10, 10, 20, 20, 60, 60)],
  };
  const part = vectorsWithin(all, 2, 8);
  expect(part).toEqual({
    tokens: 2,
    passes: [],
    rows: Int32Array.of(0, 4),
    vectors: Float32Array.of(2, 2, 6, 6),
    deepstack: [Float32Array.of(20, 20, 60, 60)],
  });
  expect(vectorsWithin(all, 3, 6).tokens).toBe(0);
});
