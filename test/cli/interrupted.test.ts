import { spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  cli,
  editJson,
  filesIn,
  makeRecipe,
  recordOf,
  startCli,
  stepsOf,
  tempFolder,
  until,
} from '../support/commandLine';
import { dist } from '../support/tfjs';

const endless = () =>
  makeRecipe({
    top: { validation_split: 0 },
    training: { max_steps: 100_000, save_steps: 20, eval_steps: 100_000 },
  });

const newRunDir = () => path.join(tempFolder(), 'run');

const hasSteps = (runDir: string, count = 1) =>
  existsSync(path.join(runDir, 'metrics.jsonl')) && stepsOf(runDir).length >= count;

const savedStep = (runDir: string, step: number) =>
  existsSync(path.join(runDir, `checkpoints/step-${step}/state.json`));

/** A run that was killed after its first checkpoint. */
async function killedRun(): Promise<string> {
  const runDir = newRunDir();
  const { child, end } = startCli(['train', endless(), '--run-dir', runDir]);
  await until(() => savedStep(runDir, 20), 'a checkpoint');
  child.kill('SIGKILL');
  await end;
  return runDir;
}

describe.skipIf(process.platform === 'win32')('a training that is told to stop', () => {
  it.each(['SIGHUP', 'SIGTERM', 'SIGINT'] as const)(
    'by %s writes a checkpoint and the adapter, and ends with the exit code 130',
    async (signal) => {
      const runDir = newRunDir();
      const { child, end } = startCli(['train', endless(), '--run-dir', runDir]);
      await until(() => hasSteps(runDir), 'the first step');
      child.kill(signal);
      const { code, stdout, stderr } = await end;
      const { state, result } = recordOf(runDir);
      expect([code, state, stderr]).toEqual([130, 'stopped', '']);
      expect(savedStep(runDir, result.steps)).toBe(true);
      expect(stdout).toContain(`stopped after ${result.steps} step`);
      expect(filesIn(runDir).filter((name) => /\.(lock|tmp)$|engine\.json/.test(name))).toEqual([]);
    },
  );

  it('within an operation that takes minutes ends with its checkpoints, and says what is kept', async () => {
    const runDir = newRunDir();
    const block = path.join(tempFolder(), 'block');
    const { child, end } = startCli(['train', endless(), '--run-dir', runDir], {
      LORA_BLOCK: block,
      NODE_OPTIONS: `--require ${path.resolve('test/support/blockWorker.cjs')}`,
    });
    await until(() => savedStep(runDir, 20), 'a checkpoint');
    writeFileSync(block, '');
    await until(() => existsSync(`${block}ed`), 'the operation');
    child.kill('SIGINT');
    const { stdout, stderr } = await end;
    expect(recordOf(runDir)).toMatchObject({ state: 'stopped', result: { adapter: null } });
    const [kept] =
      /The checkpoint of step \d+ is kept; the steps after it are lost/.exec(stderr) ?? [];
    const step = Number(/\d+/.exec(kept ?? '')?.[0]);
    expect(savedStep(runDir, step)).toBe(true);
    expect(stdout).toContain('Resume with');
    expect(filesIn(runDir).filter((name) => /\.(lock|tmp)$|engine\.json/.test(name))).toEqual([]);

    editJson(path.join(runDir, 'run.json'), {
      recipe: {
        ...recordOf(runDir).recipe,
        training: { ...recordOf(runDir).recipe.training, max_steps: step + 1 },
      },
    });
    expect(await cli('train', '--resume', runDir)).toMatchObject({ code: 0 });
  });

  it('twice, as by npm or an impatient user, still writes them', async () => {
    const runDir = newRunDir();
    const { child, end } = startCli(['train', endless(), '--run-dir', runDir]);
    await until(() => hasSteps(runDir), 'the first step');
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect((await end).code).toBe(130);
    expect(savedStep(runDir, recordOf(runDir).result.steps)).toBe(true);
  });

  it('writes them also when its output has gone with the terminal', async () => {
    const runDir = newRunDir();
    const child = spawn(
      process.execPath,
      [path.join(dist, 'cli.js'), 'train', endless(), '--run-dir', runDir, '--json'],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const end = new Promise((resolve) => child.once('exit', resolve));
    await until(() => hasSteps(runDir), 'the first step');
    child.stdout.destroy();
    child.stderr.destroy();
    const steps = stepsOf(runDir).length;
    await until(() => hasSteps(runDir, steps + 5), 'more steps');
    child.kill('SIGHUP');
    expect(await end).toBe(130);
    expect(savedStep(runDir, recordOf(runDir).result.steps)).toBe(true);
  });

  it.skipIf(!existsSync('/usr/bin/script') || process.platform !== 'linux')(
    'by the terminal that closes writes them and ends with 130, though the terminal is gone',
    async () => {
      const runDir = newRunDir();
      const exitCode = path.join(tempFolder(), 'code');
      const command = `'${process.execPath}' '${path.join(dist, 'cli.js')}' train '${endless()}' --run-dir '${runDir}'`;
      // as interactive shells do, this one passes the signal on; it stays to tell the exit code
      const shell = `${command} & trap "kill -HUP $!" HUP; wait $!; wait $!; echo $? > '${exitCode}'`;
      const terminal = spawn('/usr/bin/script', ['-qfc', shell, '/dev/null'], { stdio: 'ignore' });
      await until(() => hasSteps(runDir), 'the first step');
      terminal.kill('SIGKILL');
      await until(
        () => existsSync(exitCode) && readFileSync(exitCode, 'utf8') !== '',
        'the exit code',
      );
      expect(readFileSync(exitCode, 'utf8')).toBe('130\n');
      const { state, result } = recordOf(runDir);
      expect(state).toBe('stopped');
      expect(savedStep(runDir, result.steps)).toBe(true);
    },
  );

  it('before its first step ends at once, writes nothing and says so; it can be resumed', async () => {
    const runDir = newRunDir();
    const recipe = endless();
    const row = readFileSync(path.join(path.dirname(recipe), 'data.jsonl'), 'utf8');
    writeFileSync(path.join(path.dirname(recipe), 'data.jsonl'), row.repeat(500));
    const { child, end } = startCli(['train', recipe, '--run-dir', runDir]);
    await until(() => existsSync(path.join(runDir, 'engine.json')), 'the engine');
    child.kill('SIGTERM');
    const { code, stdout } = await end;
    expect([code, recordOf(runDir).state]).toEqual([130, 'stopped']);
    expect(recordOf(runDir).result).toMatchObject({ steps: 0, adapter: null });
    expect(filesIn(runDir).filter((name) => /adapter|checkpoint/.test(name))).toEqual([]);
    expect(stdout).toContain('stopped before the first step');
    expect(stdout).not.toContain('adapter');
    const resumed = startCli(['train', '--resume', runDir]);
    await until(() => hasSteps(runDir), 'the first step');
    resumed.child.kill('SIGTERM');
    const { stderr } = await resumed.end;
    expect(stderr).toContain('The run has no checkpoint: it starts again from step 0.');
  });
});

describe('a run whose engine was killed', () => {
  it('is called interrupted, and is resumed by one of several engines that try at once', async () => {
    const killed = await killedRun();
    const inspected = await cli('inspect', killed);
    expect(recordOf(killed).state).toBe('running');
    expect(inspected.stdout).toMatch(/: interrupted, step \d+ of 100000\n/);
    expect(inspected.stdout).toContain(`Resume with: lora train --resume ${killed}`);
    const { stdout } = await cli('inspect', killed, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ type: 'run', state: 'interrupted' });
    for (let attempt = 0; attempt < 4; attempt++) {
      const runDir = newRunDir();
      cpSync(killed, runDir, { recursive: true });
      const engines = [1, 2, 3].map(() => startCli(['train', '--resume', runDir]));
      const refused: string[] = [];
      const ends = engines.map(({ end }) =>
        end.then((result) => {
          if (result.code === 1) refused.push(result.stderr);
          return result.code;
        }),
      );
      await until(() => refused.length === 2, 'two refusals');
      const before = stepsOf(killed).length;
      await until(() => stepsOf(runDir).length > before, 'a step of the third engine');
      for (const { child } of engines) child.kill('SIGTERM');
      expect((await Promise.all(ends)).sort()).toEqual([1, 1, 130]);
      for (const said of refused)
        expect(said).toMatch(/The run is being trained by another process \(\d+\)\.\n/);
      const steps = stepsOf(runDir).map(({ step }) => step);
      expect(steps).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
      expect(recordOf(runDir).state).toBe('stopped');
    }
  });
});

it('of two trainings into one folder, one is refused', async () => {
  const runDir = newRunDir();
  const engines = [endless(), endless()].map((recipe) =>
    startCli(['train', recipe, '--run-dir', runDir]),
  );
  const first = await Promise.race(engines.map(({ end }) => end));
  expect(first.code).toBe(1);
  expect(first.stderr).toMatch(/being trained by another process|already contains a run/);
  await until(() => hasSteps(runDir), 'the first step of the other');
  for (const { child } of engines) child.kill('SIGTERM');
  expect((await Promise.all(engines.map(({ end }) => end))).map(({ code }) => code).sort()).toEqual(
    [1, 130],
  );
});
