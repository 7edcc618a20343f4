import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom, shuffle } from '../../../src/shared/random';

const draw = (count: number, random: () => number) => Array.from({ length: count }, random);

describe('createRandom', () => {
  it('gives the same numbers for the same name, in every version', () => {
    expect(draw(3, createRandom(42, 'shuffle', 0)).map((x) => x * 2 ** 32)).toEqual([
      3560653121, 1189095742, 2173415570,
    ]);
  });

  it('gives different numbers for other seeds, names, epochs and types of name', () => {
    const streams = [
      createRandom(1),
      createRandom(2),
      createRandom(1, 'a'),
      createRandom(1, 'a', 1),
      createRandom(1, 'a1'),
      createRandom(1, 'a', '1'),
      createRandom(11),
    ];
    expect(new Set(streams.map((s) => draw(4, s).join())).size).toBe(streams.length);
  });

  it('is uniform in mean, variance and the counts of 100 bins', () => {
    const n = 200_000;
    const xs = draw(n, createRandom(7, 'uniform'));
    const mean = xs.reduce((a, x) => a + x, 0) / n;
    const variance = xs.reduce((a, x) => a + (x - mean) ** 2, 0) / n;
    expect(Math.abs(mean - 1 / 2)).toBeLessThan(0.003);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.001);
    const bins = new Array<number>(100).fill(0);
    for (const x of xs) bins[Math.floor(x * 100)]! += 1;
    const chiSquare = bins.reduce((a, count) => a + (count - n / 100) ** 2 / (n / 100), 0);
    expect(chiSquare).toBeGreaterThan(60);
    expect(chiSquare).toBeLessThan(150);
  });

  it('gives unrelated first numbers for adjacent seeds', () => {
    const firsts = Array.from({ length: 2000 }, (_, seed) => createRandom(seed)());
    const mean = firsts.reduce((a, x) => a + x, 0) / firsts.length;
    const products = firsts.slice(1).map((x, i) => (x - mean) * (firsts[i]! - mean));
    expect(Math.abs(products.reduce((a, x) => a + x, 0) / products.length)).toBeLessThan(0.01);
  });
});

describe('shuffle', () => {
  it('keeps every item once and does not change the given array', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.nat(), (items, seed) => {
        const before = [...items];
        const order = (xs: number[]) => [...xs].sort((a, b) => a - b);
        expect(order(shuffle(items, createRandom(seed)))).toEqual(order(items));
        expect(items).toEqual(before);
      }),
    );
  });

  it('produces all orders of three items about equally often', () => {
    const counts = new Map<string, number>();
    const random = createRandom(3);
    for (let i = 0; i < 6000; i++) {
      const order = shuffle(['a', 'b', 'c'], random).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
