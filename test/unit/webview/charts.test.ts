import { expect, test } from 'vitest';
import type { MetricLine } from '../../../src/shared/metrics/lines';
import { generalChart, RUN_CHARTS, scoreChart } from '../../../webview/dashboard/model/chartSpecs';
import { tableRows } from '../../../webview/dashboard/model/tableRows';
import { RunLines } from '../../../webview/shared/charts/runLines';
import { byteTickStep } from '../../../webview/shared/charts/spec';
import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import { RunHistory } from '../../../src/shared/runHistory';
import { evalLine, historyOf, stepLine } from '../../support/metricLines';

const loss = RUN_CHARTS.find((spec) => spec.id === 'loss')!;

function linesOf(...metrics: readonly MetricLine[]): RunLines {
  const lines = new RunLines(historyOf());
  lines.update(historyOf(...metrics), 0, 'step');
  return lines;
}

test('gives each line of a chart a distinct dash pattern', () => {
  for (const { series } of RUN_CHARTS) {
    expect(
      new Set(series.map(({ width, dash, points }) => JSON.stringify([width, dash, points]))).size,
    ).toBe(series.length);
  }
});

test('includes the evaluation before the first step in the extent', () => {
  expect(linesOf(evalLine(0, 3), stepLine(1), stepLine(2)).extent()).toEqual({ from: 0, to: 2 });
  expect(linesOf(stepLine(7)).extent()).toEqual({ from: 7, to: 8 });
  expect(linesOf().extent()).toEqual({ from: 0, to: 1 });
});

test('reads the value of each line at a step, and none from an earlier one', () => {
  const lines = linesOf(
    evalLine(0, 3),
    stepLine(1, { loss: 2.5 }),
    stepLine(2),
    evalLine(2, 1.5),
    stepLine(3),
  );
  expect(lines.at('loss', 1)).toBe(2.5);
  expect([0, 1, 2, 3].map((x) => lines.at('validation', x))).toEqual([3, NaN, 1.5, NaN]);
  expect(lines.at('loss', 9)).toBeNaN();
});

test('lists the newest steps first, with evaluations in separate rows, up to the limit', () => {
  const lines = linesOf(
    evalLine(0, 3),
    stepLine(1, { loss: 2.5 }),
    stepLine(2, { loss: 2.25 }),
    evalLine(2, 1.5),
  );
  const { rows, total } = tableRows(lines, loss, lines.extent(), 2);
  expect(total).toBe(3);
  expect(rows).toEqual([
    { x: 2, values: [2.25, 2.25, 1.5] },
    { x: 1, values: [2.5, 2.5, NaN] },
  ]);
});

test('limits the table to the visible range', () => {
  const lines = linesOf(...Array.from({ length: 10 }, (_, i) => stepLine(i + 1)));
  expect(tableRows(lines, loss, { from: 3, to: 5 }, 200).rows.map((row) => row.x)).toEqual([
    5, 4, 3,
  ]);
});

test('places memory ticks at round values of the unit', () => {
  expect([1.2 * 2 ** 30, 3 * 2 ** 20, 900, 40 * 2 ** 30].map((max) => byteTickStep(max))).toEqual([
    256 * 2 ** 20,
    2 ** 20,
    200,
    10 * 2 ** 30,
  ]);
});

test('adds a chart of task scores after the first evaluation', () => {
  expect(scoreChart(historyOf(stepLine(1)))).toBeNull();
  const history = historyOf(
    { ...evalLine(0, 3), scores: { accuracy: 0.25, f1: 0.2 } },
    stepLine(1),
    { ...evalLine(1, 2), scores: { accuracy: 0.5, f1: 0.4 } },
  );
  const spec = scoreChart(history)!;
  expect(spec.series.map(({ id }) => id)).toEqual(['accuracy', 'f1']);
  expect(
    new Set(spec.series.map(({ width, dash, points }) => JSON.stringify([width, dash, points])))
      .size,
  ).toBe(2);
  const lines = new RunLines(history);
  expect([...lines.of('accuracy').ys, lines.at('f1', 1)]).toEqual([0.25, 0.5, 0.4]);
  expect(
    scoreChart(historyOf({ ...evalLine(0, 3), scores: { perplexity: 20 } }))!.most,
  ).toBeUndefined();
});

test('places steps and evaluations on the token and time axes', () => {
  const history = historyOf(
    evalLine(0, 3),
    stepLine(1, { tokens: 100, elapsed: 2 }),
    stepLine(2, { tokens: 50, elapsed: 5 }),
    evalLine(2, 1.5),
  );
  const lines = new RunLines(history);
  const along = (axis: Axis) => {
    lines.update(history, 0, axis);
    return [[...lines.of('loss').xs], [...lines.of('validation').xs], lines.extent()];
  };
  expect(along('tokens')).toEqual([[100, 150], [0, 150], { from: 0, to: 150 }]);
  expect(along('time')).toEqual([[2, 5], [0, 5], { from: 0, to: 5 }]);
  history.append(stepLine(3, { tokens: 25, elapsed: 6 }));
  expect(along('tokens')[0]).toEqual([100, 150, 175]);
  history.append({ kind: 'resume', step: 1 });
  history.append(stepLine(2, { tokens: 7, elapsed: 4 }));
  expect(along('tokens')[0]).toEqual([100, 107]);
  expect(lines.at('loss', 107)).toBe(2);
});

test('an outline has no smoothed loss, and estimates the tokens of the steps it lacks', () => {
  const outline = new RunHistory(undefined, [], true);
  for (const step of [1, 2, 12, 22]) outline.append(stepLine(step, { tokens: 100 }));
  const lines = new RunLines(outline);
  lines.update(outline, 0.9, 'tokens');
  expect([...lines.of('loss').xs]).toEqual([100, 200, 1200, 2200]);
  expect(lines.of('smoothed').xs).toHaveLength(0);
  const all = new RunHistory(outline.snapshot());
  const before = lines.version;
  lines.update(all, 0.9, 'step');
  expect(lines.of('smoothed').ys).toHaveLength(4);
  expect(lines.version).not.toBe(before);
});

test('handles lines without token counts or times', () => {
  const history = historyOf(
    stepLine(1, { tokens: 100, elapsed: 2 }),
    stepLine(2, { tokens: NaN, elapsed: NaN }),
    stepLine(3, { tokens: 50, elapsed: 5 }),
  );
  const lines = new RunLines(history);
  lines.update(history, 0, 'tokens');
  expect([...lines.of('loss').xs]).toEqual([100, 100, 150]);
  lines.update(history, 0, 'time');
  expect([...lines.of('loss').xs]).toEqual([2, 2, 5]);
});

test('what is forgotten has a chart of its own, with the validation loss', () => {
  const history = historyOf({ ...evalLine(0, 3), scores: { general_loss: 2, perplexity: 20 } });
  expect(generalChart(history)?.series.map(({ id }) => id)).toEqual(['validation', 'general_loss']);
  expect(scoreChart(history)?.series.map(({ id }) => id)).toEqual(['perplexity']);
  expect(generalChart(historyOf(evalLine(0, 3)))).toBeNull();
});
