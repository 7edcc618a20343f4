import { expect, test } from 'vitest';
import type { MetricLine } from '../../../../src/shared/metrics/lines';
import { asMetricLine, parseMetricLine, parseMetrics } from '../../../../src/shared/metrics/parse';
import { evalLine, stepLine } from '../../../support/metricLines';

const write = (...lines: readonly MetricLine[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('');

const EVERY_KIND: readonly MetricLine[] = [
  { kind: 'batch', step: 0, rows: [{ line: 7, pieces: [{ text: 'a', labelled: true }] }] },
  { ...evalLine(0, 3), scores: { accuracy: 0.5, f1: 0.25 } },
  stepLine(1),
  { kind: 'sample', step: 1, prompt: 'p', completion: '' },
  {
    kind: 'sample',
    step: 1,
    prompt: 'p',
    completion: '',
    line: 3,
    before: [{ role: 'system', text: 's' }],
    expected: 'e',
    exact: false,
  },
  { kind: 'checkpoint', step: 1, path: 'checkpoints/step-1' },
  { kind: 'resume', step: 1 },
];

test('every kind of line is parsed as it was written', () => {
  expect(parseMetrics(write(...EVERY_KIND))).toEqual(EVERY_KIND);
});

test('an incomplete last line and lines that are not JSON are skipped', () => {
  const text = `${write(stepLine(1))}{"kind":"st\n\n${write(stepLine(2))}`;
  expect(parseMetrics(`${text}{"kind":"step","step":3`)).toEqual([stepLine(1), stepLine(2)]);
  expect(parseMetrics(JSON.stringify(stepLine(1)))).toEqual([]);
  expect(parseMetrics('')).toEqual([]);
});

test('a resume discards the later lines, and keeps the lines after it', () => {
  const resume = { kind: 'resume', step: 1 } as const;
  const text = write(stepLine(1), stepLine(2), evalLine(2, 1), resume, stepLine(2, { loss: 9 }));
  expect(parseMetrics(text)).toEqual([stepLine(1), resume, stepLine(2, { loss: 9 })]);
});

test('NaN, which JSON writes as null, and missing or wrong numbers are read as NaN', () => {
  expect(parseMetricLine(JSON.stringify(stepLine(1, { loss: NaN })))).toEqual(
    stepLine(1, { loss: NaN }),
  );
  expect(asMetricLine({ kind: 'step', step: 2, loss: 'high' })).toMatchObject({
    step: 2,
    loss: NaN,
    memory: NaN,
  });
  expect(asMetricLine({ kind: 'eval', step: 2, scores: { f1: null, accuracy: 1 } })).toEqual({
    kind: 'eval',
    step: 2,
    loss: NaN,
    labelled_tokens: NaN,
    scores: { accuracy: 1 },
    elapsed: NaN,
  });
});

test('unknown keys and scores are dropped', () => {
  expect(asMetricLine({ ...stepLine(2), mood: 'fine' })).toEqual(stepLine(2));
  expect(asMetricLine({ ...evalLine(2, 1), scores: { charm: 1 } })).toEqual({
    ...evalLine(2, 1),
    scores: {},
  });
});

test.each<[string, unknown]>([
  ['null', null],
  ['a list', []],
  ['a text', 'step'],
  ['no kind', { step: 1 }],
  ['an unknown kind', { kind: 'mood', step: 1 }],
  ['no step', { kind: 'step' }],
  ['a step that is null', { kind: 'step', step: null }],
  ['an infinite step', { kind: 'step', step: Infinity }],
  ['a sample without a completion', { kind: 'sample', step: 1, prompt: 'p' }],
  ['a sample whose prompt is a number', { kind: 'sample', step: 1, prompt: 1, completion: '' }],
  ['a checkpoint without a path', { kind: 'checkpoint', step: 1 }],
  ['a batch without rows', { kind: 'batch', step: 0 }],
  ['a batch whose row has no line', { kind: 'batch', step: 0, rows: [{ pieces: [] }] }],
  ['a batch with a broken piece', { kind: 'batch', step: 0, rows: [{ line: 1, pieces: [{}] }] }],
])('%s is no metric line', (_, value) => {
  expect(asMetricLine(value)).toBeUndefined();
  expect(parseMetrics(`${JSON.stringify(value)}\n`)).toEqual([]);
});
