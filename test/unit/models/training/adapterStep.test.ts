import { expect, it } from 'vitest';
import { adamWStep } from '../../../../src/models/training/adamw';
import { joinedRanges, stepAdapter } from '../../../../src/models/training/adapterStep';

const of = (learning_rate: number) => adamWStep(1, { learning_rate, weight_decay: 0 });

it('joins neighbours that take the same step, and no others', () => {
  const [slow, fast] = [of(0.1), of(0.2)];
  const range = (start: number, end: number, step = slow) => ({ ...step, start, end });
  const joined = joinedRanges([range(0, 2), range(2, 5), range(6, 7), range(7, 9, fast)]);
  expect(joined).toEqual([range(0, 5), range(6, 7), range(7, 9, fast)]);
});

it('clips by the norm of all gradients, and leaves numbers outside of the ranges alone', () => {
  const vectors = {
    theta: Float32Array.of(1, 2, 3),
    gradients: Float32Array.of(6, 8, 0),
    exp_avg: new Float32Array(3).fill(0.5),
    exp_avg_sq: new Float32Array(3),
  };
  const ranges = [{ ...of(0.01), start: 0, end: 2 }];
  expect(stepAdapter(vectors, { divisor: 2, max_grad_norm: 1, ranges })).toBe(5);
  expect([...vectors.gradients]).toEqual([0, 0, 0]);
  expect(vectors.exp_avg[0]).toBeCloseTo(0.45 + 0.1 * 0.6, 5);
  expect(vectors.exp_avg_sq[1]).toBeCloseTo(0.001 * 0.64, 7);
  expect(vectors.theta[2]).toBe(3);
  expect(vectors.exp_avg[2]).toBe(0.5);
});
