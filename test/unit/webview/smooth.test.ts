import { expect, test } from 'vitest';
import { RunHistory } from '../../../src/shared/runHistory';
import { DebiasedMean, SmoothedLoss } from '../../../webview/shared/charts/smooth';
import { stepLine } from '../../support/metricLines';

test('does not bias the mean towards zero at the start', () => {
  const mean = new DebiasedMean(0.9);
  expect(mean.push(5)).toBeCloseTo(5, 12);
  expect(mean.push(5)).toBeCloseTo(5, 12);
});

test('computes the sum of w^(n-i)·x_i over the sum of w^(n-i)', () => {
  const xs = [3, 1, 4, 1, 5];
  const mean = new DebiasedMean(0.6);
  const last = xs.map((x) => mean.push(x)).at(-1);
  const weights = xs.map((_, i) => 0.6 ** (xs.length - 1 - i));
  expect(last).toBeCloseTo(
    xs.reduce((sum, x, i) => sum + x * weights[i]!, 0) / weights.reduce((a, b) => a + b),
    12,
  );
});

test('returns the values unchanged without smoothing', () => {
  const mean = new DebiasedMean(0);
  expect([3, 1, 4].map((x) => mean.push(x))).toEqual([3, 1, 4]);
});

test('skips steps without a finite value', () => {
  const mean = new DebiasedMean(0.5);
  expect(mean.push(NaN)).toBeNaN();
  mean.push(2);
  expect(mean.push(NaN)).toBe(2);
  expect(mean.push(Infinity)).toBe(2);
});

test('continues incrementally, and restarts after a new weight or a resume', () => {
  const history = new RunHistory();
  for (let step = 1; step <= 3000; step++) history.append(stepLine(step, { loss: Math.cos(step) }));
  const smoothed = new SmoothedLoss();
  const early = Float64Array.from(smoothed.update(history, 0.9));
  history.append(stepLine(3001, { loss: 2 }));
  const whole = new SmoothedLoss().update(history, 0.9);
  expect(Float64Array.from(smoothed.update(history, 0.9))).toEqual(Float64Array.from(whole));
  expect(early).toEqual(whole.slice(0, 3000));
  expect(smoothed.update(history, 0)[3000]).toBe(2);
  history.append({ kind: 'resume', step: 10 });
  history.append(stepLine(11, { loss: 7 }));
  expect(Array.from(smoothed.update(history, 0)).slice(9)).toEqual([Math.cos(10), 7]);
});
