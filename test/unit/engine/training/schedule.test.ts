import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isDue,
  planTraining,
  stepPosition,
} from '../../../../src/engine/training/plans/trainingPlan';
import {
  learningRate,
  warmupSteps,
  type ScheduleSettings,
} from '../../../../src/engine/training/schedule';

const settings = (change: Partial<ScheduleSettings>): ScheduleSettings => ({
  learning_rate: 1,
  lr_scheduler_type: 'cosine',
  warmup_steps: 0,
  warmup_ratio: 0,
  ...change,
});
const rates = (change: Partial<ScheduleSettings>, total: number) =>
  Array.from({ length: total }, (_, i) => learningRate(settings(change), i + 1, total));

describe('the learning rate', () => {
  it('falls as a half cosine wave after a warm-up from 0', () => {
    const [first, second, third, fourth, , last] = rates({ warmup_steps: 2 }, 6);
    expect([first, second, third]).toEqual([0, 0.5, 1]);
    expect(fourth).toBeCloseTo(0.5 * (1 + Math.cos(Math.PI / 4)), 12);
    expect(last).toBeCloseTo(0.5 * (1 + Math.cos((3 * Math.PI) / 4)), 12);
  });

  it('falls in a straight line', () =>
    expect(rates({ lr_scheduler_type: 'linear', warmup_steps: 1 }, 5)).toEqual([
      0, 1, 0.75, 0.5, 0.25,
    ]));
  it('stays as it is', () =>
    expect(rates({ lr_scheduler_type: 'constant', warmup_steps: 2 }, 3)).toEqual([1, 1, 1]));
  it('stays as it is after a warm-up', () =>
    expect(rates({ lr_scheduler_type: 'constant_with_warmup', warmup_steps: 2 }, 4)).toEqual([
      0, 0.5, 1, 1,
    ]));
  it('warms up in a share of all steps, rounded up, unless steps are given', () => {
    expect(warmupSteps(settings({ warmup_ratio: 0.03 }), 101)).toBe(4);
    expect(warmupSteps(settings({ warmup_ratio: 0.5, warmup_steps: 3 }), 100)).toBe(3);
  });
});

describe('the plan of a run', () => {
  const of = (examples: number, change: object = {}) =>
    planTraining(examples, {
      num_train_epochs: 1,
      max_steps: null,
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 4,
      ...change,
    });

  it('takes the tail of an epoch as a step too', () => {
    expect(of(7).steps_per_epoch).toBe(2);
    expect(stepPosition(2, of(7), 4)).toEqual({ epoch: 0, batches: [4, 5, 6] });
  });
  it('trains on three batches with an accumulation of four', () =>
    expect(stepPosition(1, of(3), 4)).toEqual({ epoch: 0, batches: [0, 1, 2] }));
  it('counts half epochs, and lets max_steps decide', () => {
    expect(of(8, { num_train_epochs: 1.5 }).total_steps).toBe(3);
    expect(of(8, { max_steps: 100 }).total_steps).toBe(100);
  });
  it('sees each batch once an epoch, whatever the sizes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        (examples, size, accumulation) => {
          const plan = planTraining(examples, {
            num_train_epochs: 2,
            max_steps: null,
            per_device_train_batch_size: size,
            gradient_accumulation_steps: accumulation,
          });
          const seen = Array.from({ length: plan.total_steps }, (_, i) =>
            stepPosition(i + 1, plan, accumulation),
          ).flatMap(({ epoch, batches }) => batches.map((b) => `${epoch}/${b}`));
          expect(seen).toEqual(
            [0, 1].flatMap((epoch) =>
              Array.from({ length: plan.batches_per_epoch }, (_, b) => `${epoch}/${b}`),
            ),
          );
        },
      ),
    );
  });
  it('does things every so many steps, or never', () =>
    expect([isDue(10, 5), isDue(11, 5), isDue(10, 0)]).toEqual([true, false, false]));
});
