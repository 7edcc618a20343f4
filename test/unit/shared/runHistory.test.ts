import { expect, test } from 'vitest';
import { RunHistory } from '../../../src/shared/runHistory';
import { metricsCsv } from '../../../src/host/dashboard/csv';
import { evalLine, historyOf, stepLine } from '../../support/metricLines';

test('a resume removes the later steps and lines', () => {
  const history = historyOf(
    stepLine(1),
    evalLine(1, 3),
    stepLine(2),
    stepLine(3),
    evalLine(3, 2),
    { kind: 'resume', step: 2 },
    stepLine(3, { loss: 9 }),
  );
  expect(Array.from(history.column('step'))).toEqual([1, 2, 3]);
  expect(Array.from(history.column('loss'))).toEqual([2, 2, 9]);
  expect(history.lines.map((line) => [line.kind, line.step])).toEqual([
    ['eval', 1],
    ['resume', 2],
  ]);
  expect(history.revision).toBe(1);
});

test('a repeated step replaces the old one', () => {
  const history = historyOf(stepLine(1), stepLine(2), stepLine(2, { loss: 7 }));
  expect(Array.from(history.column('loss'))).toEqual([2, 7]);
});

test('a snapshot restores an equal, independent history', () => {
  const history = historyOf(
    ...Array.from({ length: 5000 }, (_, i) => stepLine(i + 1, { loss: i })),
    evalLine(5000, 1),
  );
  const copy = new RunHistory(history.snapshot(), history.lines);
  expect(copy.snapshot()).toEqual(history.snapshot());
  copy.append(stepLine(5001));
  copy.append(evalLine(5001, 1));
  expect([copy.length, history.length, copy.lines.length, history.lines.length]).toEqual([
    5001, 5000, 2, 1,
  ]);
});

test('the CSV has a row for each step and for the first evaluation, and empty cells for NaN', () => {
  const csv = metricsCsv(
    historyOf(evalLine(0, 3), stepLine(1, { loss: NaN }), stepLine(2), evalLine(2, 1.5)),
  );
  expect(csv.split('\n')).toEqual([
    'step,epoch,loss,grad_norm,learning_rate,tokens,labelled_tokens,tokens_per_second,memory,elapsed,validation_loss',
    '0,,,,,,,,,,3',
    '1,0.01,,0.5,0.0001,100,40,50,1000000000,2,',
    '2,0.02,2,0.5,0.0001,100,40,50,1000000000,4,1.5',
    '',
  ]);
});

test('the CSV has a column for each score of the evaluations', () => {
  const csv = metricsCsv(
    historyOf({ ...evalLine(0, 3), scores: { accuracy: 0.25 } }, stepLine(1), stepLine(2), {
      ...evalLine(2, 1.5),
      scores: { accuracy: 0.5, f1: 0.4 },
    }),
  );
  const cells = csv
    .trim()
    .split('\n')
    .map((line) => line.split(',').slice(-3).join());
  expect(cells).toEqual(['validation_loss,accuracy,f1', '3,0.25,', ',,', '1.5,0.5,0.4']);
});
