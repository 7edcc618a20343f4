import { describe, expect, it } from 'vitest';
import { rankingLoss, type RatedBatch } from '../../../../src/models/heads/rankingLoss';
import type { RerankerLoss } from '../../../../src/shared/rerankerSettings';

const outputs = Float32Array.of(0.5, -1.25, 2, 0.25, -0.75);
const labels = Float32Array.of(1, 0, 0.5, 0.25, 1);
const pairs: RatedBatch = { outputs, labels, groups: null };
const lists: RatedBatch = { outputs, labels, groups: Int32Array.of(2, 3) };

it.each<[RerankerLoss, RatedBatch]>([
  ['BinaryCrossEntropyLoss', pairs],
  ['BinaryCrossEntropyLoss', { ...pairs, weights: Float32Array.of(1, 2, 0.5, 1, 3) }],
  ['MSELoss', pairs],
  ['ListNetLoss', lists],
  ['ListNetLoss', { ...lists, weights: Float32Array.of(2, 0.5) }],
  ['RankNetLoss', lists],
])('the gradient of %s is that of the sum', (name, batch) => {
  const { gradient } = rankingLoss(batch, name);
  const h = 1 / 64;
  outputs.forEach((z, i) => {
    const moved = (step: number) =>
      rankingLoss({ ...batch, outputs: outputs.with(i, z + step) }, name).loss_sum;
    const slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
    expect(gradient[i]).toBeCloseTo(slope, 5);
  });
});

describe('the loss that fits the rows', () => {
  it('is the cross-entropy of pairs', () =>
    expect(rankingLoss(pairs, null)).toEqual(rankingLoss(pairs, 'BinaryCrossEntropyLoss')));
  it('is that of ListNet for lists, one term each', () => {
    const found = rankingLoss({ ...lists, weights: Float32Array.of(2, 0.5) }, null);
    expect([found.labelled, found.weight]).toEqual([2, 2.5]);
    expect(rankingLoss(lists, null)).toEqual(rankingLoss(lists, 'ListNetLoss'));
  });
});

it('large outputs do not overflow', () => {
  const far = { ...lists, outputs: outputs.map((z) => 1e6 * z) };
  for (const name of ['ListNetLoss', 'RankNetLoss'] as const) {
    const { loss_sum, gradient } = rankingLoss(far, name);
    expect([loss_sum, ...gradient].every(Number.isFinite)).toBe(true);
  }
});
