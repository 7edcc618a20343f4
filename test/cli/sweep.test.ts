import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { runFacts } from '../../src/engine/sweep/table';
import { isObject } from '../../src/shared/values';
import {
  cli,
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

interface SweepResult {
  readonly folder: string;
  readonly runs: readonly (Omit<ReturnType<typeof runFacts>, 'run_dir'> & { run_dir: string })[];
}

const resultOf = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1)!) as SweepResult;
const kindsOf = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
    .flatMap((message) => (isObject(message) ? [message['kind']] : []));
const sweepsOf = (recipe: string) => {
  const folder = path.join(path.dirname(recipe), '.lora/sweeps');
  return filesIn(folder)
    .filter((name) => !name.includes(path.sep))
    .map((name) => path.join(folder, name));
};
const runsOf = (recipe: string) => {
  const folder = path.join(path.dirname(recipe), '.lora/runs');
  return readdirSync(folder).map((name) => path.join(folder, name));
};

describe('a sweep', () => {
  it('trains each combination as its recipe alone would be, and ranks them', async () => {
    const recipe = makeRecipe();
    const { code, stdout, stderr } = await cli(
      ...['sweep', recipe, '--vary', 'lora.r=1,2', '--vary', 'training.learning_rate=1e-4,3e-3'],
      ...['--parallel', '2', '--json'],
    );
    expect([code, stderr]).toEqual([0, '']);
    const { folder, runs } = resultOf(stdout);
    expect(readdirSync(folder).sort()).toEqual([
      'r1-learning_rate-1e-4.lora.json',
      'r1-learning_rate-3e-3.lora.json',
      'r2-learning_rate-1e-4.lora.json',
      'r2-learning_rate-3e-3.lora.json',
      'sweep.json',
    ]);
    expect(runs.map(({ place }) => place)).toEqual([1, 2, 3, 4]);
    const losses = runs.map((run) => run.best_validation_loss!);
    expect(losses).toEqual([...losses].sort((a, b) => a - b));
    for (const { run_dir, values, best_validation_loss, steps } of runs) {
      const { recipe: trained, result, state } = recordOf(run_dir);
      expect(state).toBe('completed');
      expect([trained.lora.r, trained.training.learning_rate]).toEqual(values);
      expect([result.best_validation_loss, result.steps]).toEqual([best_validation_loss, steps]);
      expect(trained.lora.lora_alpha / trained.lora.r).toBe(8);
    }
    const high = runs.find(({ values }) => values[0] === 1 && values[1] === 3e-3)!;
    const alone = await train(
      makeRecipe({ lora: { r: 1, lora_alpha: 8 }, training: { learning_rate: 3e-3 } }),
    );
    expect(weightsOf(high.run_dir).equals(weightsOf(alone))).toBe(true);
    const notes = JSON.parse(readFileSync(path.join(high.run_dir, 'notes.json'), 'utf8')) as object;
    expect(notes).toEqual({ name: 'lora r 1, learning_rate 3e-3', tags: [], note: '' });
  });

  it('goes on when a run fails, and trains only that one again', async () => {
    const recipe = makeRecipe({ training: { max_steps: 2 } });
    const missing = path.join(path.dirname(recipe), 'late.jsonl');
    const first = await cli('sweep', recipe, '--vary', 'dataset=late.jsonl,data.jsonl');
    expect(first.code).toBe(1);
    expect(first.stdout).toMatch(
      /1\/2 lora dataset late\.jsonl: failed after 0 steps\n.*late\.jsonl: The file does not exist/,
    );
    expect(first.stdout).toMatch(/1\s+data\.jsonl .* completed\n–\s+late\.jsonl .* failed\n/);
    expect(first.stdout).toContain('1 of 2 runs is complete.');
    const [folder] = sweepsOf(recipe);
    expect(first.stdout).toContain(`lora sweep --resume ${folder!}`);
    writeFileSync(missing, readFileSync(path.join(path.dirname(recipe), 'data.jsonl')));
    const second = await cli('sweep', '--resume', folder!, '--json');
    expect([second.code, second.stderr]).toEqual([0, '']);
    expect(kindsOf(second.stdout).filter((kind) => kind === 'started')).toHaveLength(1);
    expect(resultOf(second.stdout).runs.map(({ state }) => state)).toEqual([
      'completed',
      'completed',
    ]);
  });

  it('stops its runs when it is interrupted, and resumes them to the same bytes', async () => {
    const long = { training: { max_steps: 150, save_steps: 1000, eval_steps: 1000 } };
    const recipe = makeRecipe(long);
    const { child, end } = startCli(['sweep', recipe, '--vary', 'training.seed=1,2']);
    const [dir] = await startedRuns(recipe, 1);
    await until(() => stepsAt(dir!) > 10, 'some steps');
    child.kill('SIGINT');
    const { code, stdout } = await end;
    expect(code).toBe(130);
    expect(stdout).toMatch(/stopped\n.*not started\n/);
    expect(recordOf(dir!).state).toBe('stopped');
    const [folder] = sweepsOf(recipe);
    const resumed = await cli('sweep', '--resume', folder!, '--json');
    expect([resumed.code, resumed.stderr]).toEqual([0, '']);
    expect(kindsOf(resumed.stdout).filter((kind) => kind !== 'metric')).toEqual([
      ...['resumed', 'ended', 'started', 'ended', 'result'],
    ]);
    const whole = await train(makeRecipe({ training: { ...long.training, seed: 1 } }));
    expect(weightsOf(dir!).equals(weightsOf(whole))).toBe(true);
  });

  it('waits for a run that a killed sweep has left, and trains the others', async () => {
    const recipe = makeRecipe({ training: { max_steps: 120 } });
    const { child, end } = startCli(['sweep', recipe, '--vary', 'training.seed=1,2']);
    const [dir] = await startedRuns(recipe, 1);
    await until(() => stepsAt(dir!) > 0, 'a step');
    child.kill('SIGKILL');
    await end;
    const [folder] = sweepsOf(recipe);
    const { code, stdout } = await cli('sweep', '--resume', folder!, '--json');
    expect(code).toBe(0);
    expect(kindsOf(stdout)).toContain('awaited');
    expect(runsOf(recipe)).toHaveLength(2);
    expect(resultOf(stdout).runs.map(({ state, steps }) => [state, steps])).toEqual([
      ['completed', 120],
      ['completed', 120],
    ]);
  });

  it('keeps recipes and runs in the folder of --out', async () => {
    const recipe = makeRecipe({ training: { max_steps: 1 } });
    const out = path.join(tempFolder(), 'sweep');
    const args = ['sweep', recipe, '--vary', 'lora.r=1', '--out', out];
    expect((await cli(...args)).code).toBe(0);
    expect(readdirSync(out).sort()).toEqual(['r1.lora.json', 'runs', 'sweep.json']);
    const again = await cli(...args);
    expect([again.code, again.stderr]).toEqual([
      2,
      `${out}: The output exists already.\nChoose a folder or file that does not exist.\n`,
    ]);
    const { code, stdout } = await cli('sweep', '--resume', out, '--json');
    expect([code, kindsOf(stdout)]).toEqual([0, ['result']]);
  });
});

const stepsAt = (dir: string): number =>
  filesIn(dir).includes('metrics.jsonl') ? stepsOf(dir).length : 0;

async function startedRuns(recipe: string, count: number): Promise<readonly string[]> {
  const folder = path.join(path.dirname(recipe), '.lora/runs');
  const dirs = () => filesIn(folder).filter((name) => !name.includes(path.sep));
  await until(() => dirs().length >= count, 'runs');
  return dirs().map((name) => path.join(folder, name));
}

it('writes nothing when a variant of a sweep is not valid', async () => {
  const recipe = makeRecipe();
  const { code, stderr } = await cli('sweep', recipe, '--vary', 'lora.r=1,2.5');
  expect([code, stderr]).toEqual([
    2,
    'A run of the sweep would not be valid. "lora.r" must be a whole number, not 2.5.\n',
  ]);
  expect((await cli('sweep', recipe, '--vary', 'lora.rank=1')).stderr).toContain(
    'Did you mean "lora.r"?',
  );
  expect((await cli('sweep', recipe)).stderr).toContain('--vary is missing');
  expect((await cli('sweep', '--resume', path.dirname(recipe))).stderr).toContain('sweep.json');
  expect(filesIn(path.dirname(recipe))).toEqual(['data.jsonl', 'lora.json']);
});
