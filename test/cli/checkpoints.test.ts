import { cpSync, readdirSync, renameSync, rmSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  cli,
  cliWithin,
  editJson,
  filesIn,
  makeRecipe,
  recordOf,
  startCli,
  stepsOf,
  tempFolder,
  train,
  until,
  weightsOf,
} from '../support/commandLine';

const STEPS = 100;
const recipe = (save_steps: number) =>
  makeRecipe({
    top: { validation_split: 0 },
    lora: { r: 16 },
    training: { max_steps: STEPS, save_steps, save_total_limit: 4, eval_steps: 1000 },
  });

let unbroken: Promise<Buffer> | undefined;
/** What every run here must end with, whatever happens to it. */
const wanted = () => (unbroken ??= train(recipe(1000)).then(weightsOf));

const unfinished = (runDir: string) =>
  filesIn(runDir).filter((name) => /\.(tmp|old|lock)$|engine\.json$/.test(name));

/** A run that was stopped before its last step; on a busy machine the signal may come too late. */
async function stoppedRun(): Promise<string> {
  for (;;) {
    const runDir = path.join(tempFolder(), 'run');
    const { child, end } = startCli(['train', recipe(1000), '--run-dir', runDir]);
    await until(
      () => filesIn(runDir).includes('metrics.jsonl') && stepsOf(runDir).length > 0,
      'the first step',
    );
    child.kill('SIGTERM');
    await end;
    if (stepsOf(runDir).length < STEPS) return runDir;
  }
}

async function goesOn(runDir: string, said: RegExp): Promise<void> {
  const { code, stderr } = await cli('train', '--resume', runDir, '--json');
  expect(stderr).toMatch(said);
  expect(code).toBe(0);
  expect(stepsOf(runDir).map((line) => line.step)).toEqual(
    Array.from({ length: STEPS }, (_, i) => i + 1),
  );
  expect(weightsOf(runDir).equals(await wanted())).toBe(true);
  expect(unfinished(runDir)).toEqual([]);
}

describe('a checkpoint', () => {
  it('that a kill interrupts is removed, and the run is resumed from the one before', async () => {
    const runDir = path.join(tempFolder(), 'run');
    const { child, end } = startCli(['train', recipe(1), '--run-dir', runDir]);
    const saving = () => {
      try {
        return readdirSync(path.join(runDir, 'checkpoints')).some(
          (name) => name.endsWith('.tmp') && !name.startsWith('step-1.'),
        );
      } catch {
        return false; // not there yet
      }
    };
    await until(() => {
      for (const end = Date.now() + 15; Date.now() < end;)
        if (saving()) return child.kill('SIGKILL'); // looked at without a pause: a save is short
      return false;
    }, 'a save');
    await end;
    expect(unfinished(runDir).length).toBeGreaterThan(0);
    await goesOn(runDir, /^$/);
  });

  it('that is incomplete is skipped with a warning', async () => {
    const runDir = await train(recipe(10));
    expect(
      filesIn(path.join(runDir, 'checkpoints')).filter((name) => /^step-\d+$/.test(name)),
    ).toEqual(['step-100', 'step-70', 'step-80', 'step-90']);
    rmSync(path.join(runDir, 'checkpoints/step-100/state.json'));
    truncateSync(path.join(runDir, 'checkpoints/step-90/optimizer.safetensors'), 2000);
    truncateSync(path.join(runDir, 'checkpoints/step-80/adapter_model.safetensors'), 2000);
    editJson(path.join(runDir, 'run.json'), { state: 'stopped' });
    const kept = path.join(tempFolder(), 'run');
    cpSync(runDir, kept, { recursive: true });
    renameSync(
      path.join(runDir, 'checkpoints/step-70'),
      path.join(runDir, 'checkpoints/step-70.99.old'),
    ); // as if killed while writing it again
    await goesOn(
      runDir,
      /^checkpoints\/step-100 is incomplete and is skipped: .*\ncheckpoints\/step-90 is incomplete.*\ncheckpoints\/step-80 is incomplete.*\n$/,
    );
    rmSync(path.join(kept, 'checkpoints/step-70'), { recursive: true });
    await goesOn(
      kept,
      /step-80 is incomplete[^\n]*\nNo checkpoint is complete: the run starts again from step 0\.\n$/,
    );
  });

  it('that does not fit on the disk ends the run with a clear message; existing files are kept', async () => {
    const runDir = await stoppedRun();
    const before = filesIn(path.join(runDir, 'checkpoints'));
    expect(before.length).toBeGreaterThan(1);
    const { code, stderr, stdout } = await cliWithin(64, 'train', '--resume', runDir);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^\S+checkpoints\/step-100\/adapter_model\.safetensors: The file could not be written: .*\n {2}Free some disk space, then resume the run: lora train --resume \S+\n$/,
    );
    expect(stdout).toContain('The run failed');
    expect(recordOf(runDir)).toMatchObject({ state: 'failed', error: { area: 'disk' } });
    expect(filesIn(path.join(runDir, 'checkpoints'))).toEqual(before);
    expect(unfinished(runDir)).toEqual([]);
    await goesOn(runDir, /^$/);
  });

  it('is not needed for a clear message: the disk can be full for the metrics or run.json too', async () => {
    const runDir = path.join(tempFolder(), 'run');
    const small = await cliWithin(1, 'train', recipe(1000), '--run-dir', runDir);
    expect(small.code).toBe(1);
    expect(small.stderr).toMatch(/^\S+run\.json: The file could not be written/m);
    expect(small.stderr).not.toMatch(/^\s+at /m);
    expect(unfinished(runDir)).toEqual([]);
    const long = path.join(tempFolder(), 'run');
    const { code, stderr } = await cliWithin(8, 'train', recipe(1000), '--run-dir', long);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^\S+metrics\.jsonl: The metrics could not be written: .*\n {2}Free some disk space/,
    );
    expect(recordOf(long)).toMatchObject({ state: 'failed', error: { area: 'disk' } });
    expect(unfinished(long)).toEqual([]);
  });
});
