import { describe, expect, it } from 'vitest';
import { drawnCount, drawnIn } from '../../../../src/data/examples/epochMix';

const A = Int32Array.from([0, 1, 2, 3, 4, 5, 6, 7]);
const B = Int32Array.from([10, 11, 12]);
const countsIn = (drawn: Int32Array) => {
  const counts = new Map<number, number>();
  for (const index of drawn) counts.set(index, (counts.get(index) ?? 0) + 1);
  return counts;
};

describe('the examples of an epoch', () => {
  it('are those of all sources once, at a weight of 1', () => {
    const sources = [A, B].map((indices) => ({ indices, weight: 1 }));
    expect([...drawnIn(5, sources, 1)]).toEqual([...A, ...B]);
  });

  it('are drawn as often as whole weights say', () => {
    const sources = [
      { indices: A, weight: 1 },
      { indices: B, weight: 3 },
    ];
    const counts = countsIn(drawnIn(0, sources, 1));
    expect(A.every((index) => counts.get(index) === 1)).toBe(true);
    expect(B.every((index) => counts.get(index) === 3)).toBe(true);
  });

  it('go through a source before one of it comes again, at a fraction', () => {
    const sources = [{ indices: A, weight: 0.25 }];
    const epochs = [0, 1, 2, 3].map((epoch) => [...drawnIn(epoch, sources, 7)]);
    expect(epochs.map((own) => own.length)).toEqual([2, 2, 2, 2]);
    expect(epochs.flat().sort()).toEqual([...A]);
    expect([...drawnIn(4, sources, 7)]).toEqual(epochs[0]);
    expect([...drawnIn(0, sources, 8)]).not.toEqual(epochs[0]);
  });

  it('are as many in each epoch, and at least one of a source', () => {
    const sources = [
      { indices: A, weight: 1.4 },
      { indices: B, weight: 0.01 },
    ];
    for (const epoch of [0, 1, 2, 9])
      expect(drawnIn(epoch, sources, 1).length).toBe(drawnCount(8, 1.4) + drawnCount(3, 0.01));
    expect(drawnCount(8, 1.4)).toBe(11);
    expect(drawnCount(3, 0.01)).toBe(1);
  });
});
