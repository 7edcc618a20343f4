import { expect, it } from 'vitest';
import { metricsCsv } from '../../../../src/host/dashboard/csv';
import { parseMetricLine } from '../../../../src/shared/metrics/parse';
import { RunHistory } from '../../../../src/shared/runHistory';

it('an exported table contains numbers only, whatever metrics.jsonl contains', () => {
  const formula = '=HYPERLINK("https://evil.example")';
  const history = new RunHistory();
  const lines = [
    { kind: 'step', step: 1, loss: formula, grad_norm: '+1', learning_rate: '@x', tokens: -3 },
    { kind: 'step', step: 2, loss: 0.5, [formula]: 1 },
    { kind: 'eval', step: 2, loss: '-1+1', scores: { [formula]: 1, accuracy: formula } },
  ];
  for (const line of lines) {
    const read = parseMetricLine(JSON.stringify(line));
    if (read) history.append(read);
  }
  const [head, ...rows] = metricsCsv(history).trimEnd().split('\n');
  expect(rows).toHaveLength(2);
  for (const name of head!.split(',')) expect(name).toMatch(/^[a-z_0-9]+$/);
  for (const cell of rows.join(',').split(','))
    expect(cell).toMatch(/^(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)?$/);
});
