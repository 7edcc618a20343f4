import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { isDue, planTraining, stepPosition } from '../../../../src/shared/trainingPlan';
import {
  learningRate,
  warmupSteps,
  type ScheduleSettings,
} from '../../../../src/engine/training/schedule';

import {
  SCHEDULER_NAMES,
  SchedulerParametersSchema,
  type Scheduler,
} from '../../../../src/shared/schedulers';

const settings = (change: Partial<ScheduleSettings>): ScheduleSettings => ({
  learning_rate: 1,
  lr_scheduler_type: 'cosine',
  lr_scheduler_kwargs: v.parse(SchedulerParametersSchema, {}),
  warmup_steps: 0,
  warmup_ratio: 0,
  ...change,
});
const rates = (change: Partial<ScheduleSettings>, total: number) =>
  Array.from({ length: total }, (_, i) => learningRate(settings(change), i + 1, total));

const reference = JSON.parse(readFileSync('test/fixtures/schedules.json', 'utf8')) as {
  learning_rate: number;
  cases: { scheduler: Scheduler; parameters: object; warmup_steps: number; rates: number[] }[];
};

describe('the learning rate', () => {
  it.each(
    reference.cases.map((own) => [own.scheduler, JSON.stringify(own.parameters), own] as const),
  )(
    'is that of transformers: %s %s',
    (lr_scheduler_type, _, { parameters, warmup_steps, rates: expected }) => {
      const found = rates(
        {
          learning_rate: reference.learning_rate,
          lr_scheduler_type,
          lr_scheduler_kwargs: v.parse(SchedulerParametersSchema, parameters),
          warmup_steps,
        },
        expected.length,
      );
      // a few roundings of numbers up to the peak
      found.forEach((rate, i) =>
        expect(Math.abs(rate - expected[i]!)).toBeLessThan(reference.learning_rate * 1e-15),
      );
    },
  );

  it('has numbers of transformers for every scheduler', () =>
    expect(new Set(reference.cases.map(({ scheduler }) => scheduler))).toEqual(
      new Set(SCHEDULER_NAMES),
    ));

  it('follows half a cosine wave after a warm-up from 0', () => {
    const [first, second, third, fourth, , last] = rates({ warmup_steps: 2 }, 6);
    expect([first, second, third]).toEqual([0, 0.5, 1]);
    expect(fourth).toBeCloseTo(0.5 * (1 + Math.cos(Math.PI / 4)), 12);
    expect(last).toBeCloseTo(0.5 * (1 + Math.cos((3 * Math.PI) / 4)), 12);
  });

  it('decreases linearly', () =>
    expect(rates({ lr_scheduler_type: 'linear', warmup_steps: 1 }, 5)).toEqual([
      0, 1, 0.75, 0.5, 0.25,
    ]));
  it('is constant', () =>
    expect(rates({ lr_scheduler_type: 'constant', warmup_steps: 2 }, 3)).toEqual([1, 1, 1]));
  it('is constant after a warm-up', () =>
    expect(rates({ lr_scheduler_type: 'constant_with_warmup', warmup_steps: 2 }, 4)).toEqual([
      0, 0.5, 1, 1,
    ]));
  it('warms up during a share of all steps, rounded up, unless warmup_steps is set', () => {
    expect(warmupSteps(settings({ warmup_ratio: 0.03 }), 101)).toBe(4);
    expect(warmupSteps(settings({ warmup_ratio: 0.5, warmup_steps: 3 }), 100)).toBe(3);
  });
});

describe('the plan of a run', () => {
  const planFor = (examples: number, change: object = {}) =>
    planTraining(examples, {
      num_train_epochs: 1,
      max_steps: null,
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 4,
      ...change,
    });

  it('makes a step of the last batches of an epoch, even if there are fewer', () => {
    expect(planFor(7).steps_per_epoch).toBe(2);
    expect(stepPosition(2, planFor(7), 4)).toEqual({ epoch: 0, batches: [4, 5, 6] });
  });
  it('makes one step of three batches with an accumulation of four', () =>
    expect(stepPosition(1, planFor(3), 4)).toEqual({ epoch: 0, batches: [0, 1, 2] }));
  it('counts fractions of epochs, and lets max_steps override them', () => {
    expect(planFor(8, { num_train_epochs: 1.5 }).total_steps).toBe(3);
    expect(planFor(8, { max_steps: 100 }).total_steps).toBe(100);
  });
  it('uses each batch once per epoch, for any sizes', () => {
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
  it('repeats actions after a number of steps, or never', () =>
    expect([isDue(10, 5), isDue(11, 5), isDue(10, 0)]).toEqual([true, false, false]));
});
