import path from 'node:path';
import { readSweep, writeSweep } from '../../formats/run/sweepFolder';
import { LoraError } from '../../shared/errors';
import { parseRecipe } from '../../shared/recipeFile';
import { newRunId } from '../../shared/run';
import { isTune, newSweepFolder } from '../../shared/sweep/places';
import type { SweepRecord } from '../../shared/sweep/record';
import { variantsOf } from '../../shared/sweep/variants';
import { parseVary } from '../../shared/sweep/vary';
import { findTarget } from '../../targets/targetList';
import { checkOutput } from '../outputPath';
import { EXIT_STOPPED } from '../stopSignal';
import { runSweep } from '../sweep/runSweep';
import { rankRuns } from '../sweep/table';
import { readRecipeText } from '../training/readRecipe';
import { defineCommand, form } from './command';
import type { CommandContext } from './context';
import { optional, required, requiredList, withDefault } from './options';
import { absolutePath, anyText, positiveWholeNumber } from './optionValues';
import { sweepView } from './sweepView';

/** lora sweep: exit code 0 only if all runs are complete, 130 if it is stopped. */
export const sweepCommand = defineCommand({
  name: 'sweep',
  summary: 'Trains a recipe with each combination of values of some of its keys.',
  forms: [
    form({
      positionals: {
        recipe: { valueName: 'RECIPE.json', help: 'recipe to vary' },
      },
      options: {
        vary: requiredList(anyText, 'KEY=VALUE,VALUE,…', 'key of the recipe, as in lora.r=1,2,4'),
        on: optional(anyText, 'NAME', 'train on a target of targets.json instead of here'),
        parallel: withDefault('1', positiveWholeNumber, 'N', 'how many runs train at a time'),
        out: optional(
          absolutePath,
          'DIR',
          'new folder for recipes and runs (default: .lora beside the recipe)',
        ),
      },
      run: async ({ positionals, options: { vary, on, parallel, out } }, context) => {
        const recipe = path.resolve(positionals.recipe);
        const folder = out ?? newSweepFolder(recipe, newRunId());
        if (on !== null) await findTarget(on);
        const sweep = await newSweep(recipe, folder, { vary, target: on, parallel });
        return train({ folder, sweep, parallel }, context);
      },
    }),
    form({
      selectedBy: 'resume',
      options: {
        resume: required(absolutePath, 'DIR', 'sweep to continue: trains what is not complete'),
        parallel: optional(positiveWholeNumber, 'N', 'how many runs train at a time (as before)'),
      },
      run: async ({ options: { resume, parallel } }, context) => {
        if (isTune(resume))
          throw new LoraError('usage', 'This is a tune, in which only the best runs continue.', {
            place: { file: resume },
            fix: 'Continue it with lora tune --resume.',
          });
        const sweep = await readSweep(resume);
        return train({ folder: resume, sweep, parallel: parallel ?? sweep.parallel }, context);
      },
    }),
  ],
  notes: [
    'Values are JSON, or words as they are. Several --vary give every combination. Another rank',
    'keeps the scaling factor of the recipe, unless lora.lora_alpha is varied as well. Runs on a',
    'target continue there after Ctrl+C; --resume follows them again.',
  ],
});

interface SweepChoices {
  readonly vary: readonly string[];
  readonly target: string | null;
  readonly parallel: number;
}

/** Writes a sweep. Nothing is written unless all of its recipes are valid. */
async function newSweep(
  file: string,
  folder: string,
  { vary, target, parallel }: SweepChoices,
): Promise<SweepRecord> {
  const recipe = parseRecipe(await readRecipeText(file), file);
  const varied = vary.map(parseVary);
  const variants = variantsOf(file, recipe, varied);
  await checkOutput(folder, [file]);
  return writeSweep(folder, { recipe: file, varied, variants, target, parallel });
}

interface Sweep {
  readonly folder: string;
  readonly sweep: SweepRecord;
  readonly parallel: number;
}

async function train(job: Sweep, context: CommandContext): Promise<number> {
  const { folder, sweep } = job;
  if (sweep.target !== null) await findTarget(sweep.target);
  const parallel = Math.min(job.parallel, sweep.runs.length);
  const view = sweepView(context, { ...job, parallel });
  const runs = await runSweep({
    cli: path.join(context.dist, 'cli.js'),
    folder,
    sweep,
    parallel,
    signal: context.signal,
    ...view.hooks,
  });
  view.finish(rankRuns(runs));
  if (runs.every(({ state }) => state === 'completed')) return 0;
  return context.signal.aborted ? EXIT_STOPPED : 1;
}
