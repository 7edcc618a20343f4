import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../../src/shared/recipeFile';
import type { TuneRecord } from '../../src/shared/tune/record';
import {
  cli,
  filesIn,
  makeRecipe,
  metricsOf,
  recordOf,
  startCli,
  train,
  until,
  weightsOf,
} from '../support/commandLine';

interface TuneResult {
  readonly folder: string;
  readonly recipe: string;
  readonly best: { readonly values: readonly unknown[]; readonly rung: number };
  readonly tune: TuneRecord;
}

const messagesOf = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const resultOf = (stdout: string) => messagesOf(stdout).at(-1) as unknown as TuneResult;
const runsOf = (recipe: string) => {
  const folder = path.join(path.dirname(recipe), '.lora/runs');
  return existsSync(folder)
    ? readdirSync(folder)
        .map((name) => path.join(folder, name))
        .filter((dir) => existsSync(path.join(dir, 'run.json')))
    : [];
};
const VARY = ['--vary', 'training.learning_rate=1e-4,1e-3,1e-2', '--vary', 'lora.r=2'];

describe('a tune', () => {
  it('pauses runs at their rungs, and takes the best to the bytes of its recipe', async () => {
    const recipe = makeRecipe({ training: { max_steps: 18 } });
    const before = readFileSync(recipe, 'utf8');
    const { code, stdout, stderr } = await cli(
      ...['tune', recipe, '--minutes', '10', ...VARY, '--json'],
    );
    expect([code, stderr]).toEqual([0, '']);
    const { folder, recipe: tuned, best, tune } = resultOf(stdout);
    expect(best).toMatchObject({ values: [1e-2, 2], rung: 1 });
    expect(tune.trials.map(({ scores }) => scores.length).sort()).toEqual([1, 1, 2]);
    expect(tune.trials[0]!.steps).toEqual([6, 18]);
    const states = runsOf(recipe).map((dir) => recordOf(dir).state);
    expect(states.sort()).toEqual(['completed', 'stopped', 'stopped']);
    const whole = runsOf(recipe).find((dir) => recordOf(dir).state === 'completed')!;
    expect(metricsOf(whole).filter(({ kind }) => kind === 'resume')).toHaveLength(1);
    expect(path.dirname(recordOf(whole).recipe_path!)).toBe(folder);
    const alone = await train(recordOf(whole).recipe_path!);
    expect(weightsOf(whole).equals(weightsOf(alone))).toBe(true);
    expect(readFileSync(recipe, 'utf8')).toBe(before);
    expect(path.basename(tuned)).toBe('lora.tuned.lora.json');
    const text = readFileSync(tuned, 'utf8');
    expect(text).toMatch(/^\/\/ Found by lora tune\.\n\/\/ learning_rate 0\.01, r 2: validation/);
    const { training, lora } = parseRecipe(text, tuned);
    expect([training.learning_rate, training.max_steps, lora.r]).toEqual([1e-2, 18, 2]);
  });

  it('goes on where it was interrupted, and repeats nothing', async () => {
    const recipe = makeRecipe({ training: { max_steps: 300 } });
    const { child, end } = startCli(['tune', recipe, '--minutes', '10', ...VARY]);
    await until(
      () => runsOf(recipe).length === 2 && metricsOf(runsOf(recipe)[1]!).length > 5,
      'a second configuration',
    );
    child.kill('SIGINT');
    const { code, stdout } = await end;
    expect(code).toBe(130);
    const folder = path.join(path.dirname(recipe), '.lora/tunes');
    const [name] = readdirSync(folder);
    expect(stdout).toContain(`lora tune --resume ${path.join(folder, name!)}`);
    const resumed = await cli('tune', '--resume', path.join(folder, name!), '--json');
    expect([resumed.code, resumed.stderr]).toEqual([0, '']);
    expect(runsOf(recipe)).toHaveLength(3);
    const starts = messagesOf(resumed.stdout).flatMap(({ kind }) =>
      kind === 'started' || kind === 'resumed' ? [kind] : [],
    );
    expect(starts.filter((kind) => kind === 'started')).toHaveLength(1);
    expect(starts[0]).toBe('resumed');
    expect(runsOf(recipe).filter((dir) => recordOf(dir).state === 'completed')).toHaveLength(1);
  });

  it('refuses what cannot be compared or is no key, and a budget for nothing', async () => {
    const blind = await cli(
      ...['tune', makeRecipe({ top: { validation_split: 0 } }), '--minutes', '1'],
    );
    expect(blind.code).toBe(1);
    expect(blind.stderr).toContain('rows that are held out: there are none');
    const unknown = await cli('tune', makeRecipe(), '--minutes', '1', '--vary', 'lora.rank=1');
    expect(unknown.stderr).toContain('no key "lora.rank"');
    const none = await cli('tune', makeRecipe(), '--minutes', '0');
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('must be above 0')]);
    const short = makeRecipe({ training: { max_steps: 5000, eval_steps: 5000 } });
    const late = await cli('tune', short, '--minutes', '0.001', ...VARY);
    expect([late.code, late.stderr]).toEqual([2, expect.stringContaining('within 0.001 minutes')]);
  });
});

describe('a range test', () => {
  it('raises the rate, suggests one, and keeps nothing', async () => {
    const recipe = makeRecipe();
    const { code, stdout, stderr } = await cli('tune', recipe, '--range-test', '--json');
    expect([code, stderr]).toEqual([0, '']);
    const { range_test } = messagesOf(stdout).at(-1) as unknown as {
      range_test: NonNullable<TuneRecord['range_test']>;
    };
    const rates = range_test.points.map(({ rate }) => rate);
    expect(rates).toEqual([...rates].sort((a, b) => a - b));
    expect(rates[0]).toBe(1e-6);
    expect(rates.length).toBeLessThanOrEqual(100);
    expect(range_test.suggestion).toBeGreaterThan(1e-5);
    expect(range_test.suggestion).toBeLessThan(1e-1);
    expect(filesIn(path.dirname(recipe))).toEqual(['data.jsonl', 'lora.json']);
    const text = await cli('tune', recipe, '--range-test', '--steps', '5');
    expect(text.stdout).toContain('Loss over learning rates from 1e-6 to 1:');
  });
});

describe('lora check', () => {
  it('advises by rules, and by the runs beside the recipe', async () => {
    const slow = { training: { max_steps: 2, learning_rate: 1e-5 } };
    const recipe = makeRecipe({ ...slow, lora: { r: 2, target_modules: ['q_proj'] } });
    const before = await cli('check', recipe);
    expect(before.stdout).toContain('advice: learning_rate 1e-5 suits full fine-tuning');
    expect(before.stdout).toContain('advice: Only attention is adapted');
    await cli('sweep', recipe, '--vary', 'training.learning_rate=1e-3,1e-2');
    const after = await cli('check', recipe);
    expect(after.stdout).toMatch(
      /advice: Of 2 runs here on this base and data with 2 learning rates, the best \(.*\) had (?:1e-3|0\.01) at r = 2/,
    );
    expect(after.stdout).not.toContain('suits full fine-tuning');
  });
});
