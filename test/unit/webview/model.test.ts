import { expect, test } from 'vitest';
import { asChoices } from '../../../webview/dashboard/model/choices';
import { eventsOf } from '../../../webview/dashboard/model/events';
import {
  currentStep,
  initialDashboard,
  reduceDashboard,
  totalSteps,
  type DashboardState,
} from '../../../webview/dashboard/state';
import {
  lastCheckpointStep,
  samplesByPrompt,
  secondsLeft,
  validation,
} from '../../../webview/dashboard/model/summary';
import { Running } from '../../../webview/shared/charts/running';
import { clipped, nearest, panned, stepAway, zoomed } from '../../../webview/shared/charts/zoom';
import { runRecord } from '../../support/runs';
import { evalLine, historyOf, stepLine } from '../../support/metricLines';

const start = () => initialDashboard(asChoices(undefined, '/runs/a'));
const status = {
  state: 'running',
  step: 3,
  total_steps: null,
  seconds_left: null,
  error: null,
} as const;

test('replaces the state by a snapshot and appends lines to it', () => {
  const history = historyOf(evalLine(0, 3), stepLine(1), stepLine(2));
  const model = reduceDashboard(start(), {
    kind: 'snapshot',
    run_dir: '/runs/a',
    run: runRecord(),
    status,
    progress: null,
    link: 'engine',
    outline: false,
    steps: history.snapshot(),
    lines: history.lines,
  });
  const next = reduceDashboard(model, {
    kind: 'append',
    lines: [
      stepLine(3, { loss: 0.5 }),
      { kind: 'checkpoint', step: 3, path: 'checkpoints/step-3' },
    ],
  });
  expect(next.loaded).toBe(true);
  expect(Array.from(next.history.column('loss'))).toEqual([2, 2, 0.5]);
  expect(next.history.lines.map((line) => line.kind)).toEqual(['eval', 'checkpoint']);
  expect(totalSteps(next)).toBe(10);
});

test('a page that shows another run begins again, and keeps how runs are looked at', () => {
  const history = historyOf(stepLine(1));
  const common = {
    kind: 'snapshot',
    run: runRecord(),
    status,
    progress: null,
    link: 'engine',
    outline: false,
    steps: history.snapshot(),
    lines: [],
  } as const;
  const first = reduceDashboard(start(), { ...common, run_dir: '/runs/a' });
  const choices = { ...first.choices, zoom: { from: 1, to: 2 }, smoothing: 0.5 };
  const used: DashboardState = { ...first, choices, pending: 'stop' };
  const again = reduceDashboard(used, { ...common, run_dir: '/runs/a' });
  expect([again.choices, again.pending]).toEqual([choices, 'stop']);
  const other = reduceDashboard(used, { ...common, run_dir: '/runs/b' });
  expect(other.choices).toEqual({ ...choices, runDir: '/runs/b', zoom: null });
  expect(other.pending).toBeNull();
  expect(asChoices(other.choices, '/runs/a').runDir).toBe('/runs/b');
});

test('takes the later step of the status and the lines', () => {
  const model = reduceDashboard(
    reduceDashboard(start(), { kind: 'status', status, link: 'engine' }),
    {
      kind: 'append',
      lines: [stepLine(5)],
    },
  );
  expect(currentStep(model)).toBe(5);
});

test('clears only the pending request that was answered', () => {
  const asked = { ...start(), pending: 'pause' } as const;
  expect(reduceDashboard(asked, { kind: 'answered', request: 'stop' }).pending).toBe('pause');
  expect(reduceDashboard(asked, { kind: 'answered', request: 'pause' }).pending).toBeNull();
});

test('estimates the remaining time from the latest steps', () => {
  expect(secondsLeft(historyOf(stepLine(1), stepLine(2)), 10)).toBe(16);
  expect(secondsLeft(historyOf(stepLine(1)), 10)).toBeNull();
  expect(secondsLeft(historyOf(stepLine(1), stepLine(2)), null)).toBeNull();
});

test('finds the best validation loss and its step', () => {
  expect(validation(historyOf(evalLine(0, 3), evalLine(5, 1), evalLine(10, 2)))).toEqual({
    last: 2,
    best: 1,
    bestStep: 5,
    score: null,
  });
  expect(validation(historyOf(stepLine(1)))).toBeUndefined();
});

test('counts each step once and restarts after a resume', () => {
  const sum = new Running('tokens', 0, (a, b) => a + b);
  const history = historyOf(stepLine(1), stepLine(2));
  expect(sum.update(history)).toBe(200);
  history.append(stepLine(3));
  expect(sum.update(history)).toBe(300);
  history.append({ kind: 'resume', step: 1 });
  expect(sum.update(history)).toBe(100);
});

test('groups samples by prompt: base, latest and those between', () => {
  const sample = (step: number, prompt: string) =>
    ({ kind: 'sample', step, prompt, completion: `${prompt}${step}` }) as const;
  const groups = samplesByPrompt(
    historyOf(sample(0, 'a'), sample(0, 'b'), sample(10, 'a'), sample(20, 'a'), sample(30, 'a')),
  );
  expect(
    groups.map((g) => [
      g.prompt,
      g.base?.completion,
      g.latest?.completion,
      g.earlier.map((l) => l.step),
    ]),
  ).toEqual([
    ['a', 'a0', 'a30', [20, 10]],
    ['b', 'b0', undefined, []],
  ]);
});

test('keeps rows with the same question apart, each with what it expects', () => {
  const sample = (step: number, line: number) =>
    ({ kind: 'sample', step, line, prompt: 'q', completion: 'c', expected: `e${line}` }) as const;
  const groups = samplesByPrompt(historyOf(sample(0, 4), sample(0, 7), sample(9, 4)));
  expect(groups.map(({ line, expected, latest }) => [line, expected, latest?.step])).toEqual([
    [4, 'e4', 9],
    [7, 'e7', undefined],
  ]);
});

test('sorts events newest first and includes the best evaluation', () => {
  const history = historyOf(
    evalLine(0, 3),
    { kind: 'checkpoint', step: 5, path: 'checkpoints/step-5' },
    evalLine(5, 1),
    evalLine(10, 2),
  );
  const run = runRecord({ state: 'completed', ended: '2026-01-31T15:00:00.000Z' });
  const log = [
    { kind: 'log', level: 'warn', message: 'slow', time: '2026-01-31T14:30:00.000Z' },
  ] as const;
  expect(eventsOf(run, history, log).map((event) => event.kind)).toEqual([
    'ended',
    'warn',
    'best',
    'checkpoint',
    'started',
    'created',
  ]);
  expect(lastCheckpointStep(history)).toBe(5);
});

test('finds the nearest step between steps and beyond the ends', () => {
  const steps = Float64Array.from([1, 5, 9]);
  expect([-3, 2, 4, 7.5, 99].map((x) => nearest(steps, x))).toEqual([1, 1, 5, 9, 9]);
  expect(nearest(new Float64Array(0), 3)).toBeNull();
  expect([stepAway(steps, 5, 1), stepAway(steps, 9, 1), stepAway(steps, 1, -1)]).toEqual([9, 9, 1]);
});

test('zooms around the centre within the range of the run', () => {
  const extent = { from: 0, to: 100 };
  expect(zoomed(extent, extent, 50, 0.5)).toEqual({ from: 25, to: 75 });
  expect(zoomed({ from: 25, to: 75 }, extent, 50, 2)).toBeNull();
  expect(zoomed(extent, extent, 100, 0.5)).toEqual({ from: 50, to: 100 });
  expect(clipped({ from: 3.4, to: 3.6 }, extent)).toEqual({ from: 3, to: 4 });
});

test('restores valid persisted choices and ignores invalid ones', () => {
  const kept = {
    runDir: '/other',
    zoom: { from: 1, to: 9 },
    scroll: 120,
    smoothing: 0.5,
    axis: 'time',
    logarithmic: true,
    logarithmicX: true,
    pinned: ['memory', 'memory', 'x'],
    tables: ['memory', 'nonsense'],
    tab: 'recipe',
  };
  expect(asChoices(kept, '/runs/a')).toEqual({
    runDir: '/other',
    zoom: { from: 1, to: 9 },
    scroll: 120,
    smoothing: 0.5,
    axis: 'time',
    logarithmic: true,
    logarithmicX: true,
    pinned: ['memory'],
    tables: ['memory'],
    tab: 'recipe',
  });
  expect(
    asChoices(
      {
        zoom: { from: 9, to: 1 },
        scroll: 'x',
        smoothing: 7,
        axis: 'miles',
        logarithmic: 1,
        tables: 3,
        tab: 'none',
      },
      '/runs/a',
    ),
  ).toEqual(asChoices(null, '/runs/a'));
});

test('pans by a fraction of the visible range and stops at the ends', () => {
  const extent = { from: 0, to: 100 };
  expect(panned({ from: 20, to: 40 }, extent, 0.5)).toEqual({ from: 30, to: 50 });
  expect(panned({ from: 20, to: 40 }, extent, -9)).toEqual({ from: 0, to: 20 });
  expect(panned({ from: 20, to: 40 }, extent, 9)).toEqual({ from: 80, to: 100 });
});
