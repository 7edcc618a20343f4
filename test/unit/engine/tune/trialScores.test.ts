import { describe, expect, it } from 'vitest';
import { scoreAt, speedOf } from '../../../../src/engine/tune/trialScores';
import type { MetricLine } from '../../../../src/shared/metrics/lines';

const evaluated = (step: number, loss: number): MetricLine => ({
  kind: 'eval',
  step,
  loss,
  labelled_tokens: 1,
  scores: { accuracy: 1 - loss / 10 },
  elapsed: step,
});
const lines = [evaluated(0, 0.1), evaluated(3, 2), evaluated(6, 3), evaluated(9, 1)];

describe('the score of a run at a rung', () => {
  it('is the best up to there: neither that of the base nor a later one', () => {
    expect(scoreAt(lines, 6, 'loss')).toBe(2);
    expect(scoreAt(lines, 9, 'loss')).toBe(1);
    expect(scoreAt(lines, 6, 'accuracy')).toBe(0.8);
  });

  it('is not known before it was evaluated there', () => {
    expect(scoreAt(lines, 10, 'loss')).toBeNull();
    expect(scoreAt([], 1, 'loss')).toBeNull();
  });
});

describe('the speed of a run', () => {
  const step: MetricLine = {
    ...{ kind: 'step', step: 4, epoch: 1, loss: 1, grad_norm: 1, learning_rate: 1, tokens: 1 },
    ...{ labelled_tokens: 1, tokens_per_second: 1, memory: 1, elapsed: 8 },
  };

  it('counts what is no step as what each start costs', () => {
    expect(speedOf([step], 11)).toEqual({ seconds_per_step: 2, overhead: 3 });
    expect(speedOf([step], 5)).toEqual({ seconds_per_step: 2, overhead: 0 });
    expect(speedOf(lines, 5)).toBeNull();
  });
});
