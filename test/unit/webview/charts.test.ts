import { expect, test } from 'vitest';
import type { MetricLine } from '../../../src/shared/metrics';
import { byteTickStep, CHARTS, Lines, scoreChart } from '../../../webview/dashboard/model/chartSpecs';
import { tableRows } from '../../../webview/dashboard/model/tableRows';
import { evalLine, historyOf, stepLine } from './lines';

const loss = CHARTS.find((spec) => spec.id === 'loss')!;

function linesOf(...metrics: readonly MetricLine[]): Lines {
  const lines = new Lines();
  lines.update(historyOf(...metrics), 0);
  return lines;
}

test('no two lines of a chart look alike without colour', () => {
  for (const { series } of CHARTS) {
    expect(new Set(series.map(({ width, dash, points }) => JSON.stringify([width, dash, points]))).size).toBe(series.length);
  }
});

test('the extent holds the evaluation before the first step', () => {
  expect(linesOf(evalLine(0, 3), stepLine(1), stepLine(2)).extent()).toEqual({ from: 0, to: 2 });
  expect(linesOf(stepLine(7)).extent()).toEqual({ from: 7, to: 8 });
  expect(linesOf().extent()).toEqual({ from: 0, to: 1 });
});

test('at a step each line has its value, the validation loss its last one until then', () => {
  const lines = linesOf(evalLine(0, 3), stepLine(1, { loss: 2.5 }), stepLine(2), evalLine(2, 1.5), stepLine(3));
  expect([lines.at('loss', 1), lines.at('validation', 1), lines.at('validation', 3)]).toEqual([2.5, 3, 1.5]);
  expect(lines.at('loss', 9)).toBeNaN();
});

test('a table has the newest steps first, with evaluations in their own rows and a limit', () => {
  const lines = linesOf(evalLine(0, 3), stepLine(1, { loss: 2.5 }), stepLine(2, { loss: 2.25 }), evalLine(2, 1.5));
  const { rows, total } = tableRows(lines, loss, lines.extent(), 2);
  expect(total).toBe(3);
  expect(rows).toEqual([{ step: 2, values: [2.25, 2.25, 1.5] }, { step: 1, values: [2.5, 2.5, NaN] }]);
});

test('a table holds the range that is shown', () => {
  const lines = linesOf(...Array.from({ length: 10 }, (_, i) => stepLine(i + 1)));
  expect(tableRows(lines, loss, { from: 3, to: 5 }, 200).rows.map((row) => row.step)).toEqual([5, 4, 3]);
});

test('the ticks of a memory axis are round in its units', () => {
  expect([1.2 * 2 ** 30, 3 * 2 ** 20, 900, 40 * 2 ** 30].map((max) => byteTickStep(max))).toEqual([256 * 2 ** 20, 2 ** 20, 200, 10 * 2 ** 30]);
});

test('the scores of a run\'s task are one more chart, from its first evaluation', () => {
  expect(scoreChart(historyOf(stepLine(1)))).toBeNull();
  const history = historyOf({ ...evalLine(0, 3), scores: { accuracy: 0.25, f1: 0.2 } }, stepLine(1), { ...evalLine(1, 2), scores: { accuracy: 0.5, f1: 0.4 } });
  const spec = scoreChart(history)!;
  expect(spec.series.map(({ id }) => id)).toEqual(['accuracy', 'f1']);
  expect(new Set(spec.series.map(({ width, dash, points }) => JSON.stringify([width, dash, points]))).size).toBe(2);
  const lines = new Lines();
  lines.update(history, 0);
  expect([...lines.of('accuracy').ys, lines.at('f1', 1)]).toEqual([0.25, 0.5, 0.4]);
  expect(scoreChart(historyOf({ ...evalLine(0, 3), scores: { perplexity: 20 } }))!.most).toBeUndefined();
});
