import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readEvents } from '../../src/formats/tensorboard/events';
import {
  editJson,
  makeRecipe,
  startCli,
  stepsOf,
  tempFolder,
  cli,
  recordOf,
} from '../support/commandLine';

const scalarsOf = (dir: string) => {
  const folder = path.join(dir, 'tensorboard');
  return readdirSync(folder)
    .sort()
    .map((name) =>
      readEvents(readFileSync(path.join(folder, name)))
        .scalars.filter(({ tag }) => tag === 'train/loss')
        .map(({ step, value }) => [step, value]),
    );
};

describe('a run that reports to trackers', () => {
  it('gives TensorBoard its losses, also after a resume, and does without a dead server', async () => {
    const recipe = makeRecipe({ top: { report_to: ['tensorboard', 'mlflow'] } });
    const dir = path.join(tempFolder(), 'run');
    const env = { MLFLOW_TRACKING_URI: 'http://127.0.0.1:1' };
    const { code, stderr } = await startCli(['train', recipe, '--run-dir', dir], env).end;
    expect(code).toBe(0);
    expect(
      stderr.match(/continues without mlflow \(report_to\): it cannot be reached/g),
    ).toHaveLength(1);
    const losses = stepsOf(dir).map(({ step, loss }) => [step, Math.fround(loss)]);
    expect(losses).toHaveLength(12);
    expect(scalarsOf(dir)).toEqual([losses]);
    // as if it had been killed after its second checkpoint
    rmSync(path.join(dir, 'checkpoints/step-12'), { recursive: true });
    editJson(path.join(dir, 'run.json'), { state: 'running' });
    const resumed = await cli('train', '--resume', dir);
    expect([resumed.code, recordOf(dir).state]).toEqual([0, 'completed']);
    expect(resumed.stderr).toContain('MLFLOW_TRACKING_URI does not name its server');
    expect(scalarsOf(dir).toSorted((a, b) => b.length - a.length)).toEqual([
      losses,
      losses.filter(([step]) => step! > 8),
    ]);
  });
});
