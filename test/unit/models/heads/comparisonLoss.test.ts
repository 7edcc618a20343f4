import { describe, expect, it } from 'vitest';
import { comparisonLoss, type SequenceScores } from '../../../../src/models/heads/comparisonLoss';
import type { Comparison } from '../../../../src/models/model';
import { objectiveOf, type ObjectiveSettings } from '../../../../src/shared/objective';

const counts = [5, 3, 4, 7];
const SUMS = [-9.1, -4.2, -7.7, -15.3];
const reference = Float64Array.of(-8.5, -5.1, -7.1, -16.2);

function comparisonOf(settings: ObjectiveSettings, isReward = false): Comparison {
  const task = isReward ? 'reward' : 'causal_lm';
  const objective = objectiveOf({ task, objective: settings })!;
  if (objective.method === 'kto')
    return {
      kind: 'unpaired',
      objective,
      reference,
      desirable: [true, false, false, true],
      kl: 0.3,
    };
  return {
    kind: 'pairs',
    objective,
    reference,
    margins: isReward ? Float64Array.of(0.2, 0) : null,
  };
}

const scoresOf = (sums: readonly number[], nll: number): SequenceScores => ({
  sums: Float64Array.from(sums),
  counts,
  nll: { sum: nll, count: 8 },
});

const CASES: readonly (readonly [string, ObjectiveSettings, isReward?: boolean])[] = [
  ['dpo', { method: 'dpo' }],
  ['dpo, smoothed', { method: 'dpo', label_smoothing: 0.1, beta: 0.5 }],
  ['dpo, ipo', { method: 'dpo', loss_type: 'ipo' }],
  ['dpo, hinge', { method: 'dpo', loss_type: 'hinge', beta: 0.3 }],
  ['dpo, robust', { method: 'dpo', loss_type: 'robust', label_smoothing: 0.2 }],
  ['orpo', { method: 'orpo' }],
  ['kto', { method: 'kto', desirable_weight: 1.5, undesirable_weight: 0.5 }],
  ['cpo', { method: 'cpo' }],
  ['cpo, hinge', { method: 'cpo', loss_type: 'hinge' }],
  ['cpo, ipo', { method: 'cpo', loss_type: 'ipo', cpo_alpha: 0.5 }],
  ['simpo', { method: 'simpo', beta: 2 }],
  ['simpo with cpo_alpha', { method: 'simpo', beta: 2, cpo_alpha: 1, label_smoothing: 0.1 }],
  ['reward', { method: 'sft', center_rewards_coefficient: 0.05 }, true],
];

describe.each(CASES.map(([name, settings, isReward = false]) => ({ name, settings, isReward })))(
  '$name',
  ({ settings, isReward }) => {
    const comparison = comparisonOf(settings, isReward);
    const lossAt = (sums: readonly number[], nll = 12.4) =>
      comparisonLoss(comparison, scoresOf(sums, nll)).loss_sum;

    it('has the slopes of its loss', () => {
      const { slopes, nll_slope } = comparisonLoss(comparison, scoresOf(SUMS, 12.4));
      const step = 1e-5;
      SUMS.forEach((_, i) => {
        const moved = (by: number) => SUMS.map((sum, j) => (i === j ? sum + by : sum));
        const want = (lossAt(moved(step)) - lossAt(moved(-step))) / (2 * step);
        expect(slopes[i], `slope ${i}`).toBeCloseTo(want, 6);
      });
      const want = (lossAt(SUMS, 12.4 + step) - lossAt(SUMS, 12.4 - step)) / (2 * step);
      expect(nll_slope).toBeCloseTo(want, 6);
    });

    it('stays finite far from the reference', () => {
      const far = scoresOf([-1e-9, -4000, -3000, -1e-9], 12.4);
      const { loss_sum, slopes } = comparisonLoss(comparison, far);
      expect(loss_sum).toBeGreaterThan(-Infinity);
      expect([loss_sum, ...slopes].every(Number.isFinite)).toBe(true);
    });
  },
);

it('is log 2 for dpo where the model is the reference', () => {
  const scores = scoresOf([...reference], 0);
  expect(comparisonLoss(comparisonOf({ method: 'dpo' }), scores).loss_sum / 2).toBe(Math.LN2);
});
