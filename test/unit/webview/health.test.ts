import { expect, test } from 'vitest';
import { healthNotes } from '../../../webview/dashboard/model/health';
import { runRecord } from '../../support/runs';
import { evalLine, historyOf, stepLine } from '../../support/metricLines';

const kinds = (...parameters: Parameters<typeof healthNotes>) =>
  healthNotes(...parameters).map((note) => note.kind);

test('reports nothing for a healthy run', () => {
  const history = historyOf(evalLine(0, 3), stepLine(1), stepLine(2, { loss: 1 }), evalLine(2, 2));
  expect(healthNotes(history, runRecord())).toEqual([]);
});

test('reports the step since which the loss is not finite', () => {
  const history = historyOf(
    stepLine(1, { loss: NaN }),
    stepLine(2),
    stepLine(3, { loss: NaN }),
    stepLine(4, { loss: Infinity }),
  );
  expect(healthNotes(history, null)).toEqual([{ kind: 'nan', step: 3 }]);
});

test('ignores a single non-finite step that the run recovered from', () => {
  expect(healthNotes(historyOf(stepLine(1, { loss: NaN }), stepLine(2)), null)).toEqual([]);
});

test('reports overfitting with the step of the lowest validation loss', () => {
  const evals = [
    evalLine(0, 3),
    evalLine(10, 1),
    evalLine(20, 1.1),
    evalLine(30, 1.2),
    evalLine(40, 1.3),
  ];
  expect(healthNotes(historyOf(...evals), null)).toEqual([{ kind: 'rising', step: 10 }]);
  expect(healthNotes(historyOf(...evals.slice(0, 4)), null)).toEqual([]);
  expect(healthNotes(historyOf(...evals, evalLine(50, 1.25)), null)).toEqual([]);
});

test("reports a validation loss above the base model's", () => {
  expect(healthNotes(historyOf(evalLine(0, 2), stepLine(10), evalLine(10, 2.5)), null)).toEqual([
    { kind: 'worse', loss: 2.5, base: 2 },
  ]);
});

test('reports clipping if each of the last fifty steps was clipped', () => {
  const clipped = Array.from({ length: 50 }, (_, i) => stepLine(i + 1, { grad_norm: 3 }));
  expect(healthNotes(historyOf(...clipped), runRecord())).toEqual([
    { kind: 'clipped', steps: 50, limit: 1 },
  ]);
  expect(kinds(historyOf(...clipped.slice(1)), runRecord())).toEqual([]);
  expect(kinds(historyOf(...clipped, stepLine(51, { grad_norm: 0.9 })), runRecord())).toEqual([]);
});

test('reports a missing validation set after more serious findings', () => {
  const data = {
    examples: 10,
    validation_examples: 0,
    tokens: 1,
    labelled_tokens: 1,
    fingerprint: [],
  };
  expect(kinds(historyOf(stepLine(1, { loss: NaN })), runRecord({ data }))).toEqual([
    'nan',
    'noValidation',
  ]);
});

test('reports rows that were left out because of their errors', () => {
  const data = {
    examples: 10,
    validation_examples: 1,
    tokens: 1,
    labelled_tokens: 1,
    skipped_rows: 7,
    fingerprint: [],
  };
  expect(healthNotes(historyOf(stepLine(1)), runRecord({ data }))).toEqual([
    { kind: 'skippedRows', rows: 7 },
  ]);
  expect(
    healthNotes(historyOf(stepLine(1)), runRecord({ data: { ...data, skipped_rows: 0 } })),
  ).toEqual([]);
});

test('reports a gradient norm spike with its step', () => {
  const steps = Array.from({ length: 60 }, (_, i) =>
    stepLine(i + 1, { grad_norm: i === 55 ? 9 : 0.5, loss: 2 }),
  );
  expect(healthNotes(historyOf(...steps), null)).toEqual([
    { kind: 'exploding', step: 56, norm: 9, usual: 0.5 },
  ]);
  expect(
    kinds(
      historyOf(...steps.map((line) => ({ ...line, grad_norm: Math.min(line.grad_norm, 4) }))),
      null,
    ),
  ).toEqual([]);
});

test('reports a rising training loss with its minimum', () => {
  const steps = (losses: readonly number[]) =>
    losses.flatMap((loss, n) =>
      Array.from({ length: 25 }, (_, i) => stepLine(25 * n + i + 1, { loss })),
    );
  expect(healthNotes(historyOf(...steps([3, 2, 2.5])), null)).toEqual([
    { kind: 'climbing', step: 50, loss: 2.5, lowest: 2 },
  ]);
  expect(kinds(historyOf(...steps([3, 2, 2.1])), null)).toEqual([]);
  expect(kinds(historyOf(...steps([2, 3])), null)).toEqual([]);
});

test('reports a learning rate of 0 and steps without labels', () => {
  const steps = Array.from({ length: 9 }, (_, i) =>
    stepLine(i + 1, {
      learning_rate: i >= 4 ? 0 : 1e-4,
      labelled_tokens: i === 2 || i === 6 ? 0 : 4,
    }),
  );
  expect(healthNotes(historyOf(...steps), null)).toEqual([
    { kind: 'zeroRate', step: 5 },
    { kind: 'unlabelled', step: 3, steps: 2 },
  ]);
  expect(
    kinds(historyOf(...steps.slice(0, 8).map((line) => ({ ...line, labelled_tokens: 1 }))), null),
  ).toEqual([]);
});

const answers = (chosen: (step: number) => number, rejected: (step: number) => number) =>
  historyOf(
    ...Array.from({ length: 40 }, (_, i) =>
      stepLine(i + 1, {
        rewards_chosen: 0,
        rewards_rejected: 0,
        logps_chosen: chosen(i),
        logps_rejected: rejected(i),
      }),
    ),
  );

test('reports that the log-probabilities of both answers fall, not of one of them', () => {
  const falling = (step: number) => -50 - step;
  const steady = () => -50;
  expect(healthNotes(answers(falling, falling), null)).toEqual([
    { kind: 'bothFall', chosen: [-54.5, -84.5], rejected: [-54.5, -84.5] },
  ]);
  expect(healthNotes(answers(steady, falling), null)).toEqual([]);
  expect(healthNotes(answers(falling, steady), null)).toEqual([]);
});

test('a loss on general text that has risen is a note with advice', () => {
  const evalWith = (step: number, general_loss: number) => ({
    ...evalLine(step, 1),
    scores: { general_loss },
  });
  const run = runRecord();
  const history = historyOf(evalWith(0, 2), evalWith(10, 2.5));
  expect(healthNotes(history, run)).toEqual([
    { kind: 'forgets', loss: 2.5, base: 2, advice: ['rate', 'replay', 'mlp', 'scale'] },
  ]);
  expect(healthNotes(historyOf(evalWith(0, 2), evalWith(10, 2.01)), run)).toEqual([]);
});
