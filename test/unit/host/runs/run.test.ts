import { expect, it } from 'vitest';
import { byAge, canResume, isActive } from '../../../../src/host/runs/run';
import type { RunState } from '../../../../src/shared/run';
import { summaryOf } from '../../../support/runRecords';

it('runs are active or can be resumed, depending on their state', () => {
  const states: RunState[] = [
    'preparing',
    'running',
    'paused',
    'stopped',
    'completed',
    'failed',
    'interrupted',
  ];
  expect(states.filter((state) => isActive(summaryOf({ state })))).toEqual([
    'preparing',
    'running',
    'paused',
  ]);
  expect(states.filter((state) => canResume(summaryOf({ state })))).toEqual([
    'paused',
    'stopped',
    'failed',
    'interrupted',
  ]);
});

it('byAge sorts the newest run first', () => {
  const [older, newer] = [summaryOf(), summaryOf({ created: '2026-02-02T00:00:00Z' })];
  expect([older, newer].sort(byAge)).toEqual([newer, older]);
});
