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

test('says what was learnt: validation loss, exact samples, and whether the last step is best', () => {
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
  expect(endOf(history)).toEqual({
    loss: { of: 'validation', from: 3, to: 1.5 },
    exact: { from: 1, to: 2, all: 2 },
    best: { step: 1, loss: 1, isLast: false },
  });
  expect(endOf(historyOf(stepLine(1), evalLine(1, 1)))?.best?.isLast).toBe(true);
});

test('without validation, takes the mean training loss at the start and at the end', () => {
  const steps = Array.from({ length: 8 }, (_, i) => stepLine(i + 1, { loss: 8 - i }));
  expect(endOf(historyOf(...steps))).toEqual({
    loss: { of: 'loss', from: 7.5, to: 1.5 },
    exact: null,
    best: null,
  });
  expect(endOf(historyOf(...steps.slice(0, 3)))?.loss).toBeNull();
});

test('says nothing before the first step, and judges only samples that were taken twice', () => {
  expect(endOf(historyOf(evalLine(0, 3), sample(0, 1, true)))).toBeNull();
  const once = historyOf(stepLine(1), sample(0, 1, true), sample(1, 2, true));
  expect(endOf(once)?.exact).toBeNull();
  const cutOff = [sample(0, 1, false), sample(1, 1)];
  expect(endOf(historyOf(stepLine(1), ...cutOff))?.exact).toBeNull();
  const another = [sample(0, 2, false), sample(1, 2, true)];
  expect(endOf(historyOf(stepLine(1), ...cutOff, ...another))?.exact).toEqual({
    from: 0,
    to: 1,
    all: 1,
  });
});
