import { expect, it } from 'vitest';
import type { SweptRun } from '../../../../src/engine/sweep/runSweep';
import { describeCompleted, describeRuns, rankRuns } from '../../../../src/engine/sweep/table';
import { recordOf } from '../../../support/runRecords';

const swept = (r: number, rate: number, change: Partial<SweptRun>): SweptRun => ({
  run: { recipe: `r${r}.lora.json`, name: `git r ${r}`, values: [r, rate] },
  dir: '/runs/a',
  state: 'completed',
  result: null,
  seconds: null,
  error: null,
  ...change,
});
const resultOf = (best_validation_loss: number) => ({
  ...recordOf().result,
  steps: 12,
  best_validation_loss,
  best_step: 10,
  last_loss: 0.5,
});

it('prints the runs of a sweep by their places, with a column for each key', () => {
  const runs = rankRuns([
    swept(1, 1e-4, {
      state: 'failed',
      result: {
        ...recordOf().result,
        steps: 0,
        best_validation_loss: null,
        best_step: null,
        last_loss: null,
      },
    }),
    swept(16, 1e-4, { result: resultOf(2), seconds: 75 }),
    swept(4, 3e-4, { result: resultOf(1.5), seconds: 3 }),
    swept(8, 3e-4, { state: 'not started', dir: null }),
  ]);
  const sweep = {
    version: 1 as const,
    recipe: 'git.lora.json',
    created: '',
    vary: [
      { key: 'lora.r', values: [1, 4, 8, 16] },
      { key: 'training.learning_rate', values: [1e-4, 3e-4] },
    ],
    target: null,
    parallel: 1,
    runs: [],
  };
  expect(describeRuns(sweep, runs)).toEqual([
    '    r  learning_rate  best validation  at step  last loss  steps  time  state',
    '1   4           3e-4           1.5000       10     0.5000     12  0:03  completed',
    '2  16           1e-4           2.0000       10     0.5000     12  1:15  completed',
    '–   1           1e-4                –        –          –      0     –  failed',
    '–   8           3e-4                –        –          –      0     –  not started',
  ]);
  expect(describeCompleted(runs)).toBe('2 of 4 runs are complete.');
});

it('ranks runs by the score that all of them were chosen by', () => {
  const scored = (r: number, accuracy: number, loss: number) =>
    swept(r, 1e-4, {
      result: { ...resultOf(loss), best_metric: { name: 'accuracy', value: accuracy } },
    });
  const runs = rankRuns([scored(1, 0.5, 1), scored(2, 0.75, 2)]);
  expect(runs.map(({ run, place }) => [run.values[0], place])).toEqual([
    [2, 1],
    [1, 2],
  ]);
  const sweep = {
    version: 1 as const,
    recipe: 'git.lora.json',
    created: '',
    vary: [{ key: 'lora.r', values: [1, 2] }],
    target: null,
    parallel: 1,
    runs: [],
  };
  expect(
    describeRuns(
      sweep,
      runs.map((own) => ({ ...own, run: { ...own.run, values: [own.run.values[0]] } })),
    ),
  ).toEqual([
    '   r  best accuracy  validation  at step  last loss  steps  time  state',
    '1  2         0.7500      2.0000       10     0.5000     12     –  completed',
    '2  1         0.5000      1.0000       10     0.5000     12     –  completed',
  ]);
  const mixed = rankRuns([scored(1, 0.5, 1), swept(2, 1e-4, { result: resultOf(2) })]);
  expect(mixed.map(({ place }) => place)).toEqual([1, 2]);
});
