import { expect, test } from 'vitest';
import { labelsOf } from '../../../../src/host/dashboard/runLabels';
import { collectRun, type RunSummary } from '../../../../src/host/runs/run';
import { NO_NOTES } from '../../../../src/host/runs/runNotes';
import { recordOf } from '../../../support/runRecords';

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
  expect(labelsOf([named, plain], '/b')).toMatchObject({
    title: 'Git words',
    message: { name: 'Git words' },
  });
  expect(labelsOf([named, plain], '/a')).toMatchObject({
    title: 'r8 · 0.397 · train on tiny',
    message: { name: null, previous: null },
  });
  expect(labelsOf([named, plain], '/c')).toBeNull();
});

test('compares with the last run before that has an adapter and the same base or recipe', () => {
  const alike = { base: '/models/tiny', recipePath: null };
  const runs = [
    run('/d', 4, alike),
    run('/c', 3, { ...alike, adapter: null }),
    run('/b', 2, { base: '/models/other', recipePath: null, adapter: '/b/adapter' }),
    run('/a', 1, { ...alike, adapter: '/a/adapter', notes: { ...NO_NOTES, name: 'first' } }),
  ];
  expect(labelsOf(runs, '/d')).toMatchObject({
    previous: '/a/adapter',
    message: { previous: 'first' },
  });
  expect(labelsOf(runs, '/a')?.previous).toBeNull();
});
