import { expect, test } from 'vitest';
import { labelsOf } from '../../../../src/host/dashboard/runLabels';
import { collectRun, type RunSummary } from '../../../../src/host/runs/run';
import { NO_NOTES } from '../../../../src/host/runs/runNotes';
import { recordOf, remoteSummary } from '../../../support/runRecords';

function run(dir: string, created: number, change: Partial<RunSummary> = {}): RunSummary {
  const summary = collectRun(
    {
      kind: 'run',
      dir,
      record: recordOf({ state: 'completed' }),
      state: 'completed',
      notes: NO_NOTES,
      lastStep: null,
      remote: null,
    },
    null,
  );
  return { ...summary, dir, created, ...change };
}

test('calls a run by its name, else by its rank beside the name that all runs of the recipe share', () => {
  const named = run('/b', 2, { notes: { ...NO_NOTES, name: 'Git words' } });
  const plain = run('/a', 1, { name: 'train on tiny', r: 8, validationLoss: 0.397 });
  expect(labelsOf([named, plain], '/b', 5)).toMatchObject({
    title: 'Git words',
    message: { name: 'Git words' },
  });
  expect(labelsOf([named, plain], '/a', 5)).toMatchObject({
    title: 'r8 · 0.397 · train on tiny',
    message: { name: null, previous: null },
  });
  expect(labelsOf([named, plain], '/c', 5)).toBeNull();
});

test('compares with the last run before that has an adapter and the same base or recipe', () => {
  const alike = { base: '/models/tiny', recipePath: null };
  const runs = [
    run('/d', 4, alike),
    run('/c', 3, { ...alike, adapter: null }),
    run('/b', 2, { base: '/models/other', recipePath: null, adapter: '/b/adapter' }),
    run('/a', 1, { ...alike, adapter: '/a/adapter', notes: { ...NO_NOTES, name: 'first' } }),
  ];
  expect(labelsOf(runs, '/d', 5)).toMatchObject({
    previous: '/a/adapter',
    message: { previous: 'first' },
  });
  expect(labelsOf(runs, '/a', 5)?.previous).toBeNull();
});

test('names the target of a run, and says that it goes on there while it is not connected', () => {
  const connected = remoteSummary('running');
  const away = remoteSummary('running', { kind: 'unattended', since: 0 });
  expect(labelsOf([connected], connected.dir, 5)?.message.remote).toEqual({
    target: 'gpu-box',
    place: 'gpu-box (SSH, me@gpu.example)',
    stage: null,
    away: null,
    can_reconnect: false,
  });
  const told = labelsOf([away], away.dir, 5)?.message.remote;
  expect(told?.away).toContain('The run continues there');
  expect(told?.can_reconnect).toBe(true);
  expect(labelsOf([run('/a', 1)], '/a', 5)?.message.remote).toBeNull();
});
