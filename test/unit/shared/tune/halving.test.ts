import { describe, expect, it } from 'vitest';
import {
  bestTrial,
  nextPromotion,
  type Halving,
  type Trial,
} from '../../../../src/shared/tune/halving';

const halving = (change: Partial<Halving> = {}): Halving => ({
  eta: 3,
  rungs: 3,
  metric: 'loss',
  configurations: 9,
  fits: () => true,
  ...change,
});
const trial = (...scores: number[]): Trial => ({ scores, isTraining: false });
const training = (...scores: number[]): Trial => ({ scores, isTraining: true });
const fresh = (count: number) => Array.from({ length: count }, () => trial());

/** Trains all in turn: a configuration's score at each rung is its own loss. */
function simulate(losses: readonly number[], change: Partial<Halving> = {}) {
  const scores: number[][] = losses.map(() => []);
  const order: string[] = [];
  for (;;) {
    const now = scores.map((own) => ({ scores: own, isTraining: false }));
    const next = nextPromotion(now, halving(change));
    if (!next) return { scores, order };
    scores[next.trial]!.push(losses[next.trial]!);
    order.push(`${next.trial}@${next.rung}`);
  }
}

describe('asynchronous successive halving', () => {
  it('promotes the best third of a rung as soon as there is one, and ends with one whole', () => {
    const { scores, order } = simulate([5, 3, 4, 9, 8, 7, 1, 2, 6]);
    expect(order).toEqual([
      ...['0@0', '1@0', '2@0', '1@1', '3@0', '4@0', '5@0', '2@1', '6@0', '6@1', '6@2'],
      ...['7@0', '7@1', '8@0'],
    ]);
    expect(scores.map((own) => own.length)).toEqual([1, 2, 2, 1, 1, 1, 3, 2, 1]);
  });

  it('begins no more configurations than are planned', () => {
    const { scores } = simulate([5, 3, 4, 9, 8, 7], { configurations: 4 });
    expect(scores.map((own) => own.length)).toEqual([1, 3, 1, 1, 0, 0]);
  });

  it('takes the best to the end where no rung is full, but only when nothing trains', () => {
    const few = [trial(2), trial(1)];
    expect(nextPromotion(few, halving())).toEqual({ trial: 1, rung: 1 });
    expect(nextPromotion([...few, training()], halving())).toBeNull();
    expect(nextPromotion([trial(2), trial(1, 0.5, 0.4)], halving())).toBeNull();
  });

  it('does not promote what failed, and counts it among those that reached the rung', () => {
    const trials = [trial(NaN), trial(NaN), trial(3), ...fresh(1)];
    expect(nextPromotion(trials, halving())).toEqual({ trial: 2, rung: 1 });
    expect(nextPromotion([trial(NaN)], halving())).toBeNull();
    expect(bestTrial([trial(NaN), trial(2, NaN)], 'loss')).toEqual({
      trial: 1,
      rung: 0,
      score: 2,
    });
  });

  it('does not begin or promote what does not fit into the budget', () => {
    const trials = [trial(1), trial(2), trial(3), ...fresh(1)];
    const fits = (_: number, rung: number) => rung === 0;
    expect(nextPromotion(trials, halving({ fits }))).toEqual({ trial: 3, rung: 0 });
    expect(nextPromotion(trials, halving({ fits: () => false }))).toBeNull();
  });

  it('prefers high scores where a metric is better so', () => {
    const trials = [trial(0.5), trial(0.9), trial(0.7)];
    expect(nextPromotion(trials, halving({ metric: 'accuracy' }))?.trial).toBe(1);
    expect(bestTrial(trials, 'accuracy')).toEqual({ trial: 1, rung: 0, score: 0.9 });
  });

  it('does not promote twice while one is on its way', () => {
    const trials = [training(1), trial(2), trial(3)];
    expect(nextPromotion(trials, halving({ configurations: 3 }))).toBeNull();
  });
});
