import { describe, expect, it } from 'vitest';
import { BestTracker, type BestSettings } from '../../../../src/engine/training/bestTracker';

const settings = (change: Partial<BestSettings>): BestSettings => ({
  metric_for_best_model: 'loss',
  early_stopping_patience: null,
  early_stopping_threshold: 0,
  ...change,
});

/** For each loss: whether it is the best so far, and how many in a row have not improved. */
function follow(tracker: BestTracker, losses: readonly number[]): (readonly [boolean, number])[] {
  return losses.map((loss, i) => {
    const isBest = tracker.add({ step: i + 1, loss });
    return [isBest, tracker.withoutImprovement] as const;
  });
}

describe('the best evaluation', () => {
  it('is that of the lowest loss; the same loss again is not better', () => {
    const tracker = new BestTracker(settings({}));
    expect(follow(tracker, [2, 3, 1, 1])).toEqual([
      [true, 0],
      [false, 1],
      [true, 0],
      [false, 1],
    ]);
    expect(tracker.best).toEqual({ step: 3, loss: 1, value: 1 });
    expect(tracker.isOver).toBe(false);
  });

  it('is that of the highest score, where the recipe names one', () => {
    const tracker = new BestTracker(settings({ metric_for_best_model: 'accuracy' }));
    expect(tracker.add({ step: 1, loss: 1, scores: { accuracy: 0.5 } })).toBe(true);
    expect(tracker.add({ step: 2, loss: 0.5, scores: { accuracy: 0.4 } })).toBe(false);
    expect(tracker.add({ step: 3, loss: 2, scores: { accuracy: 0.6 } })).toBe(true);
    expect(tracker.best).toEqual({ step: 3, loss: 2, value: 0.6 });
  });

  it('is that of the lowest score, where lower is better', () => {
    const tracker = new BestTracker(settings({ metric_for_best_model: 'rmse' }));
    tracker.add({ step: 1, loss: 1, scores: { rmse: 1 } });
    expect(tracker.add({ step: 2, loss: 4, scores: { rmse: 2 } })).toBe(false);
  });

  it('is none without the score', () => {
    const tracker = new BestTracker(settings({ metric_for_best_model: 'pearson' }));
    expect(tracker.add({ step: 1, loss: 1, scores: {} })).toBe(false);
    expect(tracker.best).toBeNull();
  });
});

describe('early stopping', () => {
  it('ends after as many evaluations without an improvement as the patience', () => {
    const tracker = new BestTracker(settings({ early_stopping_patience: 2 }));
    follow(tracker, [2, 3]);
    expect(tracker.isOver).toBe(false);
    follow(tracker, [2.5]);
    expect(tracker.isOver).toBe(true);
  });

  // EarlyStoppingCallback compares with the best before, which any better value becomes
  it('counts an improvement within the threshold as none, though it is the best', () => {
    const tracker = new BestTracker(
      settings({ early_stopping_patience: 5, early_stopping_threshold: 0.5 }),
    );
    expect(follow(tracker, [3, 2.75, 2.5, 2.25, 1.5])).toEqual([
      [true, 0],
      [true, 1],
      [true, 2],
      [true, 3],
      [true, 0],
    ]);
  });

  it('goes on after a restart where it was', () => {
    const tracker = new BestTracker(settings({ early_stopping_patience: 2 }));
    tracker.restore({ step: 4, loss: 1, value: 1 }, 1);
    expect(tracker.isOver).toBe(false);
    follow(tracker, [1.5]);
    expect(tracker.isOver).toBe(true);
    expect(tracker.best?.step).toBe(4);
  });
});
