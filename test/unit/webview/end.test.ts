import { expect, test } from 'vitest';
import { endOf } from '../../../webview/dashboard/model/end';
import { evalLine, historyOf, stepLine } from '../../support/metricLines';

const sample = (step: number, line: number, exact?: boolean) =>
  ({
    kind: 'sample',
    step,
    line,
    prompt: 'q',
    completion: 'c',
    expected: 'e',
    ...(exact !== undefined && { exact }),
  }) as const;

test('says what was learned: validation loss, exact samples, and whether the last step is best', () => {
  const history = historyOf(
    evalLine(0, 3),
    sample(0, 1, false),
    sample(0, 2, true),
    stepLine(1),
    evalLine(1, 1),
    stepLine(2),
    evalLine(2, 1.5),
    sample(2, 1, true),
    sample(2, 2, true),
  );
  expect(endOf(history, 'loss')).toEqual({
    loss: { of: 'validation', from: 3, to: 1.5 },
    exact: { from: 1, to: 2, all: 2 },
    best: { step: 1, loss: 1, value: 1, isLast: false },
  });
  expect(endOf(historyOf(stepLine(1), evalLine(1, 1)), 'loss')?.best?.isLast).toBe(true);
});

test('without validation, takes the mean training loss at the start and at the end', () => {
  const steps = Array.from({ length: 8 }, (_, i) => stepLine(i + 1, { loss: 8 - i }));
  expect(endOf(historyOf(...steps), 'loss')).toEqual({
    loss: { of: 'loss', from: 7.5, to: 1.5 },
    exact: null,
    best: null,
  });
  expect(endOf(historyOf(...steps.slice(0, 3)), 'loss')?.loss).toBeNull();
});

test('says nothing before the first step, and judges only samples that were taken twice', () => {
  expect(endOf(historyOf(evalLine(0, 3), sample(0, 1, true)), 'loss')).toBeNull();
  const once = historyOf(stepLine(1), sample(0, 1, true), sample(1, 2, true));
  expect(endOf(once, 'loss')?.exact).toBeNull();
  const cutOff = [sample(0, 1, false), sample(1, 1)];
  expect(endOf(historyOf(stepLine(1), ...cutOff), 'loss')?.exact).toBeNull();
  const another = [sample(0, 2, false), sample(1, 2, true)];
  expect(endOf(historyOf(stepLine(1), ...cutOff, ...another), 'loss')?.exact).toEqual({
    from: 0,
    to: 1,
    all: 1,
  });
});

test('finds the best evaluation by the metric of the recipe', () => {
  const scored = (step: number, loss: number, accuracy: number) => ({
    ...evalLine(step, loss),
    scores: { accuracy },
  });
  const history = historyOf(
    scored(0, 3, 0.2),
    stepLine(1),
    scored(1, 1, 0.5),
    stepLine(2),
    scored(2, 2, 0.75),
  );
  expect(endOf(history, 'accuracy')?.best).toEqual({ step: 2, loss: 2, value: 0.75, isLast: true });
  expect(endOf(history, 'loss')?.best?.step).toBe(1);
  expect(endOf(history, 'f1')?.best).toBeNull();
});
