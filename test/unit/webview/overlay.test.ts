import { describe, expect, test } from 'vitest';
import type { MetricLine } from '../../../src/shared/metrics/lines';
import type { RunRecord } from '../../../src/shared/run';
import {
  asOverlayHostMessage,
  asOverlayPageState,
} from '../../../src/shared/pages/overlay/protocol';
import { lookOf } from '../../../webview/overlay/model/look';
import { OverlayLines } from '../../../webview/overlay/model/lines';
import { rangeChart } from '../../../webview/overlay/model/rangeChart';
import {
  bestOfTune,
  bestRuns,
  lowestRank,
  overlayRow,
  overlayRows,
} from '../../../webview/overlay/model/rows';
import { sweepChart, ticksBetween } from '../../../webview/overlay/model/sweepChart';
import { runAfter, newRun, type OverlayRun } from '../../../webview/overlay/model/runs';
import { evalLine, historyOf, stepLine } from '../../support/metricLines';

const recordOf = (r: number) =>
  ({ recipe: { lora: { r } }, trainable_parameters: 100 * r }) as unknown as RunRecord;
const runOf = (dir: string, r: number, ...lines: MetricLine[]): OverlayRun => ({
  ...newRun(dir, dir),
  record: recordOf(r),
  state: 'completed',
  history: historyOf(...lines),
});

test('summarizes a run in a row', () => {
  const row = overlayRow(
    runOf(
      '/a',
      4,
      evalLine(0, 3),
      stepLine(1, { loss: 2.5, tokens_per_second: 40, memory: 7 }),
      stepLine(2, { loss: 2, tokens_per_second: 60, memory: 9 }),
      evalLine(2, 1.5),
      stepLine(3, { loss: 1.75, tokens_per_second: 50, memory: 8 }),
      evalLine(3, 1.6),
    ),
  );
  expect(row).toMatchObject({
    r: 4,
    parameters: 400,
    validation: 1.5,
    at: 2,
    loss: 1.75,
    time: 6,
    speed: 50,
    memory: 9,
  });
  expect(overlayRow(newRun('/b', 'b'))).toMatchObject({
    r: NaN,
    validation: NaN,
    loss: NaN,
    memory: NaN,
  });
});

test('suggests the lowest rank within one percent of the best loss', () => {
  const losses: readonly (readonly [number, number])[] = [
    [1, 1.3],
    [2, 1.009],
    [4, 1],
    [8, 1.2],
  ];
  const rows = losses.map(([r, loss]) => overlayRow(runOf(`/${r}`, r, evalLine(1, loss))));
  expect([lowestRank(rows)?.enough.r, lowestRank(rows)?.best.r]).toEqual([2, 4]);
  expect(lowestRank(rows.slice(0, 1))).toBeNull();
  expect(lowestRank([...rows.slice(0, 1), overlayRow(newRun('/x', 'x'))])).toBeNull();
  expect(lowestRank([rows[0]!, rows[3]!])?.enough.r).toBe(8);
});

test('judges finished runs only, by their losses after a step', () => {
  const rows = [
    overlayRow(runOf('/1', 1, evalLine(0, 2), evalLine(4, 3))),
    overlayRow({ ...runOf('/2', 2, evalLine(0, 2), evalLine(1, 0.1)), state: 'running' }),
    overlayRow({ ...runOf('/3', 3, evalLine(1, 0.1)), state: 'stopped' }),
    overlayRow(runOf('/4', 4, evalLine(0, 2), evalLine(4, 1))),
  ];
  expect([lowestRank(rows)?.enough.r, lowestRank(rows)?.best.r]).toEqual([4, 4]);
  expect(lowestRank(rows.slice(0, 3))).toBeNull();
});

test('draws losses over ranks, with a line through the finished runs', () => {
  const rows = (...runs: OverlayRun[]) => overlayRows(runs, ['lora.r']);
  const chart = sweepChart(
    rows(
      { ...runOf('/8', 8, evalLine(1, 0.5)), state: 'running' },
      runOf('/1', 1, evalLine(4, 3)),
      runOf('/4', 4, evalLine(4, 1)),
      newRun('/x', 'x'),
    ),
    ['lora.r'],
  )!;
  expect(chart.places.map(({ value }) => value)).toEqual([1, 4, 8]);
  expect(chart.lines).toHaveLength(1);
  const [{ points, path }] = chart.lines as [(typeof chart.lines)[number]];
  expect(points.map(({ finished }) => finished)).toEqual([true, true, false]);
  const [first, second, open] = points;
  expect(path).toBe(`${first!.x},${first!.y} ${second!.x},${second!.y}`);
  expect(first!.y).toBeLessThan(second!.y);
  expect(second!.y).toBeLessThan(open!.y);
  expect(open!.x - second!.x).toBeCloseTo(second!.x - first!.x);
  expect(chart.limit).not.toBeNull();
  expect(sweepChart(rows(newRun('/x', 'x')), ['lora.r'])).toBeNull();
});

describe('runs that were chosen by a score', () => {
  const run = (r: number, accuracy: number, loss: number, metric = 'accuracy'): OverlayRun => ({
    ...runOf(`/${r}`, r, { ...evalLine(4, loss), scores: { accuracy } }),
    record: {
      recipe: { lora: { r }, training: { metric_for_best_model: metric } },
    } as unknown as RunRecord,
  });

  test('are compared by it', () => {
    const rows = overlayRows([run(1, 0.5, 1), run(2, 0.9, 3), run(4, 0.905, 2)], ['lora.r']);
    expect(rows.map(({ best, validation, place }) => [best, validation, place])).toEqual([
      [0.5, 1, 3],
      [0.9, 3, 2],
      [0.905, 2, 1],
    ]);
    expect([lowestRank(rows)?.enough.r, lowestRank(rows)?.best.r]).toEqual([2, 4]);
    expect(bestRuns(rows)?.near.map(({ r }) => r)).toEqual([2]);
    const { lines, limit } = sweepChart(rows, ['lora.r'])!;
    const heights = lines[0]!.points.map(({ y }) => y);
    expect(heights[2]!).toBeLessThan(heights[1]!);
    expect(limit!).toBeGreaterThan(heights[1]!);
  });

  test('are compared by the loss where they were chosen by different ones', () => {
    const rows = overlayRows([run(1, 0.5, 1), run(2, 0.9, 3, 'f1')], ['lora.r']);
    expect(rows.map(({ metric, best, place }) => [metric, best, place])).toEqual([
      ['loss', 1, 1],
      ['loss', 3, 2],
    ]);
  });
});

describe('a sweep of several keys', () => {
  const keys = ['training.seed', 'training.learning_rate', 'lora.r'];
  const run = (seed: number, learning_rate: number, r: number, loss: number) => ({
    ...runOf(`/${seed}-${learning_rate}-${r}`, r, evalLine(4, loss)),
    record: {
      recipe: { lora: { r }, training: { seed, learning_rate } },
    } as unknown as RunRecord,
  });
  const rows = overlayRows(
    [run(1, 1e-2, 2, 1), run(1, 1e-3, 2, 1.005), run(1, 1e-4, 2, 3), run(1, 1e-3, 8, 2)],
    keys,
  );

  test('has one line for each value of the second key, over a logarithmic axis', () => {
    const chart = sweepChart(rows, keys)!;
    expect([chart.x, chart.line]).toEqual([1, 2]);
    expect(chart.lines.map(({ value, points }) => [value, points.length])).toEqual([
      [2, 3],
      [8, 1],
    ]);
    const [low, middle, high] = chart.places.map(({ x }) => x) as [number, number, number];
    expect(high - middle).toBeCloseTo(middle - low);
  });

  test('finds the best values and those that are close', () => {
    const { best, near } = bestRuns(rows)!;
    expect(best.values).toEqual([1, 1e-2, 2]);
    expect(near.map(({ values }) => values)).toEqual([[1, 1e-3, 2]]);
    expect(rows.map(({ values, place }) => [values[1], values[2], place])).toEqual([
      [1e-4, 2, 4],
      [1e-3, 2, 2],
      [1e-3, 8, 3],
      [1e-2, 2, 1],
    ]);
    expect(bestRuns(rows.slice(0, 1))).toBeNull();
  });
});

test('chooses round ticks', () => {
  expect(ticksBetween(0.38, 0.62)).toEqual([0.4, 0.5, 0.6]);
  expect(ticksBetween(6.8, 6.82)).toEqual([6.8, 6.81, 6.82]);
});

test('gives sixteen runs distinct styles', () => {
  expect(new Set(Array.from({ length: 16 }, (_, i) => JSON.stringify(lookOf(i)))).size).toBe(16);
});

test('reads the latest value at a position, and none outside the range of the run', () => {
  const lines = new OverlayLines();
  const choices = {
    zoom: null,
    smoothing: 0,
    axis: 'tokens',
    logarithmic: false,
    logarithmicX: false,
  } as const;
  lines.update(
    [
      runOf('/a', 1, stepLine(1, { loss: 3, tokens: 100 }), stepLine(2, { loss: 2, tokens: 100 })),
      runOf('/b', 2, stepLine(1, { loss: 5, tokens: 150 }), stepLine(2, { loss: 4, tokens: 150 })),
    ],
    'loss',
    choices,
  );
  expect([lines.at('/a', 100), lines.at('/a', 150), lines.at('/a', 250)]).toEqual([3, 3, NaN]);
  expect([lines.at('/b', 100), lines.at('/b', 150), lines.at('/c', 1)]).toEqual([NaN, 5, NaN]);
  expect(lines.extent()).toEqual({ from: 100, to: 300 });
  expect([...lines.places()]).toEqual([150, 300]);
});

test('updates a run from host messages', () => {
  const steps = historyOf(stepLine(1)).snapshot();
  const status = {
    state: 'running',
    step: 1,
    total_steps: 4,
    seconds_left: null,
    error: null,
  } as const;
  const begun = runAfter(newRun('/a', 'a'), {
    kind: 'snapshot',
    run_dir: '/runs/a',
    run: recordOf(2),
    status,
    progress: null,
    link: 'folder',
    outline: false,
    steps,
    lines: [],
  });
  const after = runAfter(runAfter(begun, { kind: 'append', lines: [stepLine(2, { loss: 1 })] }), {
    kind: 'status',
    status: { ...status, state: 'completed' },
    link: 'ended',
  });
  expect([after.state, after.history.length, overlayRow(after).loss]).toEqual(['completed', 2, 1]);
});

test('validates messages and persisted state', () => {
  expect(
    asOverlayHostMessage({
      kind: 'of',
      dir: '/a',
      message: { kind: 'answered', request: 'pause' },
    }),
  ).toBeDefined();
  expect(
    asOverlayHostMessage({ kind: 'of', dir: '/a', message: { kind: 'nonsense' } }),
  ).toBeUndefined();
  expect(asOverlayPageState({ subject: { kind: 'runs', dirs: ['/a'] } })).toMatchObject({
    quantity: 'validation',
    axis: 'step',
    hidden: [],
    zoom: null,
  });
  expect(asOverlayPageState({ subject: { kind: 'all' } })).toBeUndefined();
});

describe('a tune', () => {
  const run = (dir: string, steps: number, loss: number): OverlayRun => ({
    ...runOf(dir, 4, stepLine(1), evalLine(0, 9), evalLine(steps, loss)),
    record: { ...recordOf(4), total_steps: 90 },
    state: 'stopped',
  });

  test('shows the rungs of runs, and the best of the highest', () => {
    const rows = overlayRows([run('/a', 10, 1), run('/b', 30, 2), run('/c', 30, 3)], ['lora.r']);
    expect(rows.map(({ rung }) => rung)).toEqual([1, 2, 2]);
    expect(bestOfTune(rows)?.dir).toBe('/b');
    expect(overlayRow(newRun('/x', 'x')).rung).toBeNaN();
    expect(bestOfTune([overlayRow(newRun('/x', 'x'))])).toBeNull();
  });

  test('draws its range test over powers of ten', () => {
    const points = [1e-4, 1e-3, 1e-2, 1e-1].map((rate, i) => ({ rate, loss: [3, 2, 1, 50][i]! }));
    const chart = rangeChart({ points, suggestion: 1e-3 })!;
    expect(chart.places.map(({ rate }) => rate)).toEqual([1e-4, 1e-3, 1e-2, 1e-1]);
    expect(chart.suggestion).toBeCloseTo(chart.places[1]!.x);
    const ys = chart.path.split(' ').map((point) => Number(point.split(',')[1]));
    expect(ys[2]).toBeGreaterThan(ys[0]!);
    expect(Math.min(...ys)).toBeGreaterThanOrEqual(0);
    expect(rangeChart({ points: points.slice(0, 2), suggestion: null })).toBeNull();
  });
});
