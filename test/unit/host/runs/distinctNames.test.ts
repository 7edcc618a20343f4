import path from 'node:path';
import { expect, it } from 'vitest';
import { adapterLabels } from '../../../../src/host/adapters/adapterNames';
import { distinctNames, runDetails } from '../../../../src/host/runs/distinctNames';
import type { RunSummary } from '../../../../src/host/runs/run';
import type { RunStore } from '../../../../src/host/runs/runStore';
import { summaryOf } from '../../../support/runRecords';

const named = (name: string, ...details: string[]) => ({ name, details });

it('tells equal names apart by the first detail that differs among all of them', () => {
  expect(distinctNames([named('a', 'r8', '1'), named('b', 'r8', '2')])).toEqual(['a', 'b']);
  expect(
    distinctNames([named('a', 'r4', '1'), named('b', 'r8', '2'), named('a', 'r8', '3')]),
  ).toEqual(['a (r4)', 'b', 'a (r8)']);
  expect(
    distinctNames([named('a', 'r8', '1'), named('a', 'r8', '2'), named('a', 'r4', '3')]),
  ).toEqual(['a (1)', 'a (2)', 'a (3)']);
});

const runIn = (dir: string, r: number): RunSummary => ({
  ...summaryOf({ state: 'completed' }),
  dir,
  id: path.basename(dir),
  name: 'train on tiny',
  r,
  validationLoss: 0.397,
  adapter: path.join(dir, 'adapter'),
});

it('calls adapters of runs with one name by rank and loss, not by the ids of the runs', () => {
  const runs = [
    runIn(path.resolve('/w/.lora/runs/1'), 4),
    runIn(path.resolve('/w/.lora/runs/2'), 8),
  ];
  const store = { runs } as unknown as RunStore;
  expect(
    adapterLabels(
      store,
      runs.map(({ adapter }) => adapter!),
    ),
  ).toEqual(['train on tiny (r4 · 0.397)', 'train on tiny (r8 · 0.397)']);
});

it('calls runs alike in all else by the time of their start', () => {
  const [first, second] = [runIn('/w/1', 8), { ...runIn('/w/2', 8), created: 0 }];
  const names = distinctNames(
    [first, second].map((run) => ({ name: 'a', details: runDetails(run) })),
  );
  expect(names[1]).toMatch(/^a \(\d.*:\d\d.*\)$/);
  expect(names[0]).not.toBe(names[1]);
});

it('calls adapters outside of runs by their folders', () => {
  const store = { runs: [] } as unknown as RunStore;
  const places = ['/a/x/best', '/a/y/best'].map((place) => path.resolve(place));
  expect(adapterLabels(store, places)).toEqual(['best (x)', 'best (y)']);
});
