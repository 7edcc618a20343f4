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

test('a message of the host is accepted after conversion to JSON and back, with NaN', () => {
  const append = JSON.parse(
    JSON.stringify({ kind: 'append', lines: [stepLine(1, { loss: NaN }), evalLine(1, 2)] }),
  ) as unknown;
  expect(asHostMessage(append)).toEqual({
    message: { kind: 'append', lines: [stepLine(1, { loss: NaN }), evalLine(1, 2)] },
  });
});

test('a snapshot is accepted, and its run is not copied', () => {
  const run = runRecord();
  const steps = new RunHistory().snapshot();
  const checked = asHostMessage({
    kind: 'snapshot',
    run_dir: '/runs/a',
    run,
    status,
    progress: { phase: 'training', fraction: null },
    link: 'engine',
    outline: false,
    steps,
    lines: [evalLine(0, 2)],
  });
  expect('message' in checked && checked.message.kind === 'snapshot' && checked.message.run).toBe(
    run,
  );
});

test('the record of a run with several sources is accepted', () => {
  const run = runRecord();
  const dataset = [{ path: '/own.jsonl', weight: 3 }, '/general.parquet'];
  const source = { name: '/own.jsonl', weight: 3, examples: 4, tokens: 40, labelled_tokens: 20 };
  const data = {
    ...{ examples: 4, validation_examples: 0, tokens: 40, labelled_tokens: 20, fingerprint: [] },
    sources: [{ ...source, drawn: 12, share: 1 }],
  };
  const mixed = { ...run, recipe: { ...run.recipe, dataset }, data };
  expect(asRunRecord(mixed)).toBe(mixed);
  const damaged = { ...data, sources: [{ ...source, drawn: 12 }] };
  expect(asRunRecord({ ...mixed, data: damaged })).toBeUndefined();
  expect(asRunRecord({ ...mixed, recipe: { ...run.recipe, dataset: [] } })).toBeUndefined();
});

test.each([
  ['a string', 'ready'],
  ['an unknown kind', { kind: 'shout' }],
  ['an invalid line', { kind: 'append', lines: [{ kind: 'step' }] }],
  ['an unknown state', { kind: 'status', status: { ...status, state: 'asleep' }, link: 'engine' }],
  [
    'columns of different lengths',
    {
      kind: 'snapshot',
      run_dir: '/runs/a',
      run: null,
      status,
      progress: null,
      link: 'folder',
      outline: false,
      lines: [],
      steps: { ...new RunHistory().snapshot(), loss: new Float64Array(3) },
    },
  ],
  [
    'a step among the other lines',
    {
      kind: 'snapshot',
      run_dir: '/runs/a',
      run: null,
      status,
      progress: null,
      link: 'folder',
      outline: false,
      lines: [stepLine(1)],
      steps: new RunHistory().snapshot(),
    },
  ],
])('a message of the host with %s is rejected with a reason', (_, message) => {
  const checked = asHostMessage(message);
  expect('fault' in checked && checked.fault).toMatch(/\w+: \w+/);
});

test('valid messages of the page are accepted, others rejected', () => {
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

test('a record with unknown keys is accepted, one without a recipe is not', () => {
  expect(asRunRecord({ ...runRecord(), mood: 'fine' })).toMatchObject({ mood: 'fine' });
  expect(asRunRecord({ ...runRecord(), recipe: null })).toBeUndefined();
});
