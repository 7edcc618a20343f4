import { describe, expect, it } from 'vitest';
import { planTune, rungSteps, secondsOf, type Budget } from '../../../../src/shared/tune/plan';

const budget = (change: Partial<Budget> = {}): Budget => ({
  steps: [30, 90, 270],
  speed: { seconds_per_step: 1, overhead: 10 },
  seconds: 3600,
  parallel: 1,
  most: 100,
  ...change,
});

describe('the rungs of a training', () => {
  it('end at powers of three times the first, and at the end of the training', () => {
    expect(rungSteps(270)).toEqual([10, 30, 90, 270]);
    expect(rungSteps(1000)).toEqual([37, 111, 333, 1000]);
    expect(rungSteps(45)).toEqual([5, 15, 45]);
    expect(rungSteps(12)).toEqual([4, 12]);
    expect(rungSteps(3)).toEqual([1, 3]);
    expect(rungSteps(1)).toEqual([1]);
  });

  it('rise, and are multiples of the first but for the last', () => {
    for (let total = 1; total < 3000; total++) {
      const steps = rungSteps(total);
      expect(steps.at(-1)).toBe(total);
      for (const [k, own] of steps.entries()) {
        if (k > 0) expect(own).toBeGreaterThan(steps[k - 1]!);
        if (k < steps.length - 1) expect(own % steps[0]!).toBe(0);
      }
    }
  });
});

describe('the plan of a tune', () => {
  it('has the most configurations that fit, with whole trainings if there is room', () => {
    const plan = planTune(budget())!;
    expect(plan.rungs).toBe(3);
    expect(plan.seconds).toBeLessThanOrEqual(3600);
    expect(secondsOf(plan.configurations + 1, 3, budget())).toBeGreaterThan(3600);
    expect(plan.configurations).toBe(44);
  });

  it('keeps to what there is to try', () => {
    expect(planTune(budget({ most: 2 }))).toMatchObject({ configurations: 2, rungs: 3 });
  });

  it('gives up whole trainings where only few configurations would fit', () => {
    expect(planTune(budget({ seconds: 300 }))).toMatchObject({ configurations: 5, rungs: 2 });
    expect(planTune(budget({ seconds: 40 }))).toMatchObject({ configurations: 1, rungs: 1 });
    expect(planTune(budget({ seconds: 39 }))).toBeNull();
  });

  it('has room for more where several train at a time', () => {
    expect(planTune(budget({ parallel: 4 }))!.configurations).toBeGreaterThan(80);
  });
});
