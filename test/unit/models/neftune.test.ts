import { expect, it } from 'vitest';
import { neftuneNoise } from '../../../src/models/embeddings/neftune';

const input = (rows: readonly number[], length: number) => ({
  batch: rows.length,
  length,
  attention_mask: Int32Array.from(
    rows.flatMap((own) => Array.from({ length }, (_, i) => Number(i < own))),
  ),
});

it('the noise is uniform up to alpha / √(longest row · width), and the same for a seed', () => {
  const d = 50;
  const at = (seed: number) => neftuneNoise(input([40, 25], 48), d, { alpha: 5, seed });
  const noise = at(3);
  const limit = 5 / Math.sqrt(40 * d);
  expect(noise).toHaveLength(2 * 48 * d);
  expect(at(3)).toEqual(noise);
  expect(at(4)).not.toEqual(noise);
  const largest = noise.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  expect(largest).toBeLessThanOrEqual(Math.fround(limit));
  expect(largest).toBeGreaterThan(0.99 * limit);
  const mean = noise.reduce((sum, x) => sum + x, 0) / noise.length;
  const square = noise.reduce((sum, x) => sum + x * x, 0) / noise.length;
  expect(Math.abs(mean)).toBeLessThan(0.05 * limit);
  expect(square / (limit ** 2 / 3)).toBeCloseTo(1, 1);
});
