import { expect, test } from 'vitest';
import { metricsCsv } from '../../../src/host/dashboard/csv';
import { asMetricLine } from '../../../src/shared/metrics/parse';
import { RunHistory } from '../../../src/shared/runHistory';
import { comparedCharts } from '../../../webview/dashboard/model/chartSpecs';
import { RunLines } from '../../../webview/shared/charts/runLines';
import { evalLine, historyOf, stepLine } from '../../support/metricLines';

const scores = { rewards_chosen: 0.2, rewards_rejected: -0.1, reward_margin: 0.3 };
const compared = () =>
  historyOf(
    { ...evalLine(0, 0.7), scores },
    stepLine(1, { rewards_chosen: 0.1, rewards_rejected: 0, reward_margin: 0.1 }),
    stepLine(2, { rewards_chosen: 0.4, rewards_rejected: -0.2, reward_margin: 0.6 }),
  );

test('a run that compares answers has charts of what it compares, others have none', () => {
  expect(comparedCharts(historyOf(stepLine(1)))).toEqual([]);
  const charts = comparedCharts(compared());
  expect(charts.map(({ id }) => id)).toEqual(['rewards', 'reward_margin']);
  expect(charts[0]!.series.map(({ id }) => id)).toEqual([
    'rewards_chosen',
    'validation_rewards_chosen',
    'rewards_rejected',
    'validation_rewards_rejected',
  ]);
});

test('its curves are those of the steps and of the validation set', () => {
  const lines = new RunLines(compared());
  expect([...lines.of('reward_margin').ys]).toEqual([0.1, 0.6]);
  expect([...lines.of('validation_rewards_rejected').ys]).toEqual([-0.1]);
});

test('its columns survive a snapshot, and a line without them', () => {
  const history = new RunHistory(compared().snapshot());
  history.append(stepLine(3));
  expect([...history.column('reward_margin')]).toEqual([0.1, 0.6, NaN]);
  expect(history.column('kl')).toHaveLength(0);
});

test('its lines are read, and written as CSV', () => {
  const line = stepLine(1, { rewards_chosen: 0.5, rewards_rejected: 0, kl: 0.25 });
  expect(asMetricLine(JSON.parse(JSON.stringify(line)))).toEqual(line);
  const [head, , first] = metricsCsv(compared()).split('\n');
  expect(head).toMatch(/,rewards_chosen,rewards_rejected,reward_margin,validation_loss,/);
  expect(head).toMatch(/,validation_rewards_chosen,/);
  expect(first).toMatch(/,0.1,0,0.1,/);
});

test('a run with a teacher has a chart of the divergence from it', () => {
  const line = stepLine(1, { teacher_kl: 0.5 });
  expect(asMetricLine(JSON.parse(JSON.stringify(line)))).toEqual(line);
  const history = historyOf({ ...evalLine(0, 0.7), scores: { teacher_kl: 0.6 } }, line);
  const [chart, ...others] = comparedCharts(history);
  expect([chart!.id, others]).toEqual(['teacher_kl', []]);
  expect(chart!.series.map(({ id }) => id)).toEqual(['teacher_kl', 'validation_teacher_kl']);
  const lines = new RunLines(history);
  expect([...lines.of('teacher_kl').ys]).toEqual([0.5]);
  expect([...lines.of('validation_teacher_kl').ys]).toEqual([0.6]);
});

test('a run on a mixture of experts has a chart of their load', () => {
  const line = stepLine(1, { expert_load: 1.25 });
  expect(asMetricLine(JSON.parse(JSON.stringify(line)))).toEqual(line);
  const history = historyOf(evalLine(0, 0.7), line);
  expect(comparedCharts(history).map(({ id, fromZero }) => [id, fromZero])).toEqual([
    ['expert_load', true],
  ]);
  expect([...new RunLines(history).of('expert_load').ys]).toEqual([1.25]);
});
