import path from 'node:path';
import { shellQuote } from '../../common/shellQuote';
import { parseRecipe } from '../../shared/recipeFile';
import { newRunId } from '../../shared/run';
import { countOf } from '../../shared/values';
import { preparePlan, type PreparedPlan } from '../rayTrain/preparePlan';
import { joinLines } from '../report';
import { gitCommit } from '../run/gitCommit';
import { newRecord } from '../run/runFolder';
import { readRecipeText } from '../training/readRecipe';
import { defineCommand, form } from './command';
import { printResult } from './context';
import { optional, required } from './options';
import { folderPath, positiveWholeNumber } from './optionValues';
import { prepareRepositoryForm, repositoryLanguagesForm } from './prepareRepository';
import { withProgress } from './progress';

/** lora prepare. */
export const prepareCommand = defineCommand({
  name: 'prepare',
  summary:
    'Prepares a training run for Ray Train, or makes a dataset and a recipe of a git repository.',
  forms: [
    form({
      positionals: {
        recipe: { valueName: 'RECIPE.json', help: 'recipe to prepare' },
      },
      options: {
        output: required(folderPath, 'DIR', 'folder to write the plan to'),
        workers: optional(positiveWholeNumber, 'N', 'check that a step has a row for each worker'),
      },
      run: async ({ positionals, options: { output, workers } }, context) => {
        const file = path.resolve(positionals.recipe);
        const text = await readRecipeText(file);
        const recipe = parseRecipe(text, file);
        if (recipe.report_to.length > 0)
          context.warn('A prepared training run reports to no tracker (report_to).');
        const record = newRecord(newRunId(), {
          recipe,
          recipe_path: file,
          extension: context.version,
          git_commit: await gitCommit(path.dirname(file)),
        });
        const prepared = await withProgress(context, ({ show, warn }) =>
          preparePlan({
            record,
            recipe_text: text,
            workers,
            output,
            signal: context.signal,
            info: context.note,
            warn,
            onProgress: (fraction) => show('reading data', fraction),
          }),
        );
        const { sha256, plan } = prepared;
        const facts = { output, sha256, total_steps: plan.run.total_steps, run: plan.run.id };
        printResult(context, facts, () => describePrepared(context.dist, output, prepared));
        return 0;
      },
    }),
    repositoryLanguagesForm,
    prepareRepositoryForm,
  ],
});

function describePrepared(dist: string, output: string, { plan, sha256 }: PreparedPlan): string {
  const { run } = plan;
  const train = path.join(dist, 'ray', 'train.py');
  return joinLines([
    `${output}: ${countOf(run.total_steps!, 'step')} on ${countOf(run.data!.examples, 'example')}, plan ${sha256}`,
    'To train it on a machine of a Ray cluster:',
    `  python ${shellQuote(train)} ${shellQuote(output)} --sha256 ${sha256} --base ${shellQuote(run.recipe.base)} --run-dir RUN_DIR --workers 2`,
  ]);
}
