import path from 'node:path';
import { readSweep } from '../../formats/run/sweepFolder';
import { triedBeside } from '../../formats/run/triedRuns';
import { readTune, writeTune } from '../../formats/run/tuneFile';
import { recipeAdvice } from '../../shared/advice/recipeAdvice';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { parseRecipe } from '../../shared/recipeFile';
import { parseVary } from '../../shared/sweep/vary';
import { planTune } from '../../shared/tune/plan';
import { MAX_RANGE_STEPS, risingRates, type RangeTest } from '../../shared/tune/rangeTest';
import type { TuneRecord } from '../../shared/tune/record';
import { RATE_KEY, tunedKeys } from '../../shared/tune/space';
import { findTarget } from '../../targets/targetList';
import { EXIT_STOPPED } from '../stopSignal';
import { readRecipeText } from '../training/readRecipe';
import { countExamples } from '../tune/measureData';
import { writeNewTune, type WrittenTune } from '../tune/newTune';
import { runRangeTest } from '../tune/rangeTest';
import { runTune } from '../tune/runTune';
import { writeTunedRecipe } from '../tune/tunedFile';
import { useRuntime } from '../useRuntime';
import { describeAdvice } from './adviceText';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { flag, list, optional, required, withDefault } from './options';
import { absolutePath, anyText, positiveNumber, positiveWholeNumber } from './optionValues';
import { withProgress, withQuietProgress } from './progress';
import { describeRangeTest, tuneView } from './tuneView';

/** The rates of a range test: every rate that AdamW is used with lies between them. */
const LOWEST_RATE = 1e-6;
const HIGHEST_RATE = 1;

/** lora tune: exit code 0 when a recipe was written, 130 if it is stopped. */
export const tuneCommand = defineCommand({
  name: 'tune',
  summary: 'Finds the learning rate and rank of a recipe within a budget of minutes.',
  forms: [
    form({
      positionals: { recipe: { valueName: 'RECIPE.json', help: 'recipe to tune' } },
      options: {
        minutes: required(positiveNumber, 'N', 'how long the tune may take in all'),
        vary: list(anyText, 'KEY=VALUE,VALUE,…', 'key of the recipe, as in lora.r=4,8,16'),
        on: optional(anyText, 'NAME', 'train on a target of targets.json instead of here'),
        parallel: withDefault('1', positiveWholeNumber, 'N', 'how many runs train at a time'),
        'no-range-test': flag('do not look for a learning rate first'),
      },
      run: async ({ positionals, options }, context) =>
        startTune(path.resolve(positionals.recipe), options, context),
    }),
    form({
      selectedBy: 'range-test',
      positionals: { recipe: { valueName: 'RECIPE.json', help: 'recipe to test' } },
      options: {
        'range-test': flag('only look for a learning rate, which takes 100 steps or fewer'),
        steps: withDefault(String(MAX_RANGE_STEPS), positiveWholeNumber, 'N', 'steps of the test'),
      },
      run: async ({ positionals, options: { steps } }, context) => {
        const file = path.resolve(positionals.recipe);
        const recipe = parseRecipe(await readRecipeText(file), file);
        const test = await testRates(recipe, Math.min(steps, MAX_RANGE_STEPS), context);
        printResult(context, { range_test: test }, () => describeRangeTest(test).join('\n'));
        return 0;
      },
    }),
    form({
      selectedBy: 'resume',
      options: {
        resume: required(absolutePath, 'DIR', 'tune to continue'),
        minutes: optional(positiveNumber, 'N', 'a longer budget, with what is spent already'),
      },
      run: async ({ options: { resume, minutes } }, context) => {
        const [sweep, tune] = [await readSweep(resume), await readTune(resume)];
        const written = { folder: resume, sweep, tune: withBudget(tune, minutes, sweep.parallel) };
        return train(written, context);
      },
    }),
  ],
  notes: [
    'Learning rates and ranks are chosen around those of the recipe unless --vary gives them. A',
    'range test before the start suggests the rates; on a target there is none. The best recipe is',
    'written beside the old one. Runs on a target continue there after Ctrl+C, as those of a sweep.',
  ],
});

interface TuneOptions {
  readonly minutes: number;
  readonly vary: readonly string[];
  readonly on: string | null;
  readonly parallel: number;
  readonly 'no-range-test': boolean;
}

async function startTune(
  file: string,
  { minutes, vary, on, parallel, ...options }: TuneOptions,
  context: CommandContext,
): Promise<number> {
  const recipe = parseRecipe(await readRecipeText(file), file);
  const given = vary.map(parseVary);
  // what cannot be tuned is refused before anything is measured
  tunedKeys(recipe, given, null);
  if (on !== null) await findTarget(on);
  const examples = await withQuietProgress(context, 'reading data', (report) =>
    countExamples(recipe, file, report),
  );
  for (const advice of recipeAdvice(recipe, { rows: examples, runs: await triedBeside(file) }))
    context.note(`advice: ${describeAdvice(advice)}`);
  const started = performance.now();
  const isTested =
    on === null && !options['no-range-test'] && !given.some(({ key }) => key === RATE_KEY);
  const rangeTest = isTested ? await testRates(recipe, MAX_RANGE_STEPS, context) : null;
  if (rangeTest && !context.json) context.note(describeRangeTest(rangeTest).join('\n'));
  const written = await writeNewTune({
    ...{ file, recipe, examples, minutes, parallel, rangeTest },
    varied: tunedKeys(recipe, given, rangeTest?.suggestion ?? null),
    target: on,
    spent: (performance.now() - started) / 1000,
  });
  return train(written, context);
}

async function testRates(
  recipe: Recipe,
  steps: number,
  context: CommandContext,
): Promise<RangeTest> {
  const runtime = await useRuntime(context);
  const rates = risingRates(LOWEST_RATE, HIGHEST_RATE, steps);
  return withProgress(context, ({ show, warn }) =>
    runRangeTest({
      ...{ recipe, rates, runtime, warn },
      dist: context.dist,
      signal: context.signal,
      onStep: (taken) => show('range test', taken / steps),
    }),
  );
}

/** A tune with another budget, whose plan is made anew for it. */
function withBudget(tune: TuneRecord, minutes: number | null, parallel: number): TuneRecord {
  if (minutes === null || tune.plan === null) return { ...tune, minutes: minutes ?? tune.minutes };
  const { speed } = tune.plan;
  const plan = planTune({
    ...{ speed, parallel },
    steps: tune.trials[0]!.steps,
    seconds: minutes * 60,
    most: tune.trials.length,
  });
  return { ...tune, minutes, plan: plan ? { ...plan, speed } : tune.plan };
}

async function train(written: WrittenTune, context: CommandContext): Promise<number> {
  const { folder, sweep } = written;
  if (sweep.target !== null) await findTarget(sweep.target);
  const view = tuneView(context, written);
  const tune = await runTune({
    ...written,
    cli: path.join(context.dist, 'cli.js'),
    parallel: sweep.parallel,
    signal: context.signal,
    ...view.hooks,
  });
  if (context.signal.aborted) {
    view.finish(tune, null);
    return EXIT_STOPPED;
  }
  const file = await writeTunedRecipe(folder, sweep, tune);
  if (file === null)
    throw new LoraError('run', 'Every configuration failed.', { place: { file: folder } });
  const finished = { ...tune, tuned: file };
  await writeTune(folder, finished);
  view.finish(finished, file);
  return 0;
}
