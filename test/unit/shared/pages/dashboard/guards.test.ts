import { expect, test } from 'vitest';
import { RunHistory } from '../../../../../src/shared/runHistory';
import {
  asHostMessage,
  asPageMessage,
  asRunRecord,
} from '../../../../../src/shared/pages/dashboard/guards';
import { evalLine, stepLine } from '../../../../support/metricLines';
import { runRecord } from '../../../../support/runs';

const status = {
  state: 'running',
  step: 3,
  total_steps: 10,
  seconds_left: 4.5,
  error: null,
} as const;

test('what the host sends is understood after the way through JSON, NaN included', () => {
  const append = JSON.parse(
    JSON.stringify({ kind: 'append', lines: [stepLine(1, { loss: NaN }), evalLine(1, 2)] }),
  ) as unknown;
  expect(asHostMessage(append)).toEqual({
    message: { kind: 'append', lines: [stepLine(1, { loss: NaN }), evalLine(1, 2)] },
  });
});

test('a snapshot is understood and the recipe keeps its order', () => {
  const run = runRecord();
  const steps = new RunHistory().snapshot();
  const checked = asHostMessage({
    kind: 'snapshot',
    run,
    status,
    progress: { phase: 'training', fraction: null },
    link: 'engine',
    steps,
    lines: [evalLine(0, 2)],
  });
  expect('message' in checked && checked.message.kind === 'snapshot' && checked.message.run).toBe(
    run,
  );
});

test.each([
  ['no object', 'ready'],
  ['an unknown kind', { kind: 'shout' }],
  ['a line that is none', { kind: 'append', lines: [{ kind: 'step' }] }],
  [
    'a state that is none',
    { kind: 'status', status: { ...status, state: 'asleep' }, link: 'engine' },
  ],
  [
    'columns of different lengths',
    {
      kind: 'snapshot',
      run: null,
      status,
      progress: null,
      link: 'folder',
      lines: [],
      steps: { ...new RunHistory().snapshot(), loss: new Float64Array(3) },
    },
  ],
  [
    'a step among the other lines',
    {
      kind: 'snapshot',
      run: null,
      status,
      progress: null,
      link: 'folder',
      lines: [stepLine(1)],
      steps: new RunHistory().snapshot(),
    },
  ],
])('a message of the host with %s is refused with a reason', (_, message) => {
  const checked = asHostMessage(message);
  expect('fault' in checked && checked.fault).toMatch(/\w+: \w+/);
});

test('what the page may ask is understood, anything else is refused', () => {
  expect(asPageMessage({ kind: 'request', request: 'pause' })).toEqual({
    message: { kind: 'request', request: 'pause' },
  });
  expect(asPageMessage({ kind: 'openPlace', place: { file: '/a', line: 3 } })).toEqual({
    message: { kind: 'openPlace', place: { file: '/a', line: 3 } },
  });
  for (const message of [
    null,
    7,
    { kind: 'request', request: 'explode' },
    { kind: 'open', what: '/etc/passwd' },
    { kind: 'openPlace', place: {} },
  ]) {
    expect(asPageMessage(message)).toHaveProperty('fault');
  }
});

test('a record of a newer engine with more keys is read, one without a recipe is not', () => {
  expect(asRunRecord({ ...runRecord(), mood: 'fine' })).toMatchObject({ mood: 'fine' });
  expect(asRunRecord({ ...runRecord(), recipe: null })).toBeUndefined();
});
