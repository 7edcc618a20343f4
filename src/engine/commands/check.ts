import path from 'node:path';
import * as v from 'valibot';
import { examineData } from '../../data/dataset/examine';
import { readData } from '../../data/dataset/prepare';
import type { CheckedDataset, CheckedRecipe } from '../../shared/checkedRecipe';
import { formatPlace, LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { parseRecipe } from '../../shared/recipeFile';
import { dataToolsOf } from '../model/dataTools';
import { openForTraining } from '../training/open';
import { readRecipeText } from '../training/readRecipe';
import { defineCommand, form } from './command';
import { printResult } from './context';
import { list } from './options';
import { countOf } from '../../shared/values';

interface Replacement {
  readonly file: string;
  readonly other: string;
}

const replacement = v.pipe(
  v.string(),
  v.check(
    (value) => value.lastIndexOf('=') > 0,
    ({ input }) => `must be FILE=OTHER, not ${JSON.stringify(input)}`,
  ),
  v.transform((value): Replacement => {
    const separator = value.lastIndexOf('=');
    return {
      file: path.resolve(value.slice(0, separator)),
      other: path.resolve(value.slice(separator + 1)),
    };
  }),
);

/** lora check: exit code 1 if rows have errors. */
export const checkCommand = defineCommand({
  name: 'check',
  summary: "Checks the rows of a recipe's datasets and counts their tokens.",
  forms: [
    form({
      positionals: {
        recipe: { valueName: 'RECIPE', help: 'recipe: a lora.json file' },
      },
      options: {
        instead: list(
          replacement,
          'FILE=OTHER',
          'read OTHER instead of the dataset FILE, such as a copy with unsaved changes',
        ),
      },
      run: async ({ positionals, options }, context) => {
        const checked = await checkDatasets(path.resolve(positionals.recipe), options.instead);
        printResult(context, checked, () => describeChecked(checked));
        const hasErrors = checked.datasets
          .flatMap(({ problems }) => problems)
          .some(({ severity }) => severity === 'error');
        return hasErrors ? 1 : 0;
      },
    }),
  ],
});

async function checkDatasets(
  file: string,
  replacements: readonly Replacement[],
): Promise<CheckedRecipe> {
  const otherOf = new Map(replacements.map(({ file: original, other }) => [original, other]));
  const fileOf = new Map(replacements.map(({ file: original, other }) => [other, original]));
  const read = (dataset: string) => otherOf.get(dataset) ?? dataset;
  const shown = (dataset: string) => fileOf.get(dataset) ?? dataset;
  const recipe = parseRecipe(await readRecipeText(file), file);
  const { base, limit, datasets } = await examineDatasets({
    ...recipe,
    dataset: read(recipe.dataset),
    validation: recipe.validation === null ? null : read(recipe.validation),
  });
  return {
    task: recipe.task,
    base,
    max_length: recipe.training.max_length,
    limit,
    datasets: datasets.map((dataset) => ({
      ...dataset,
      path: shown(dataset.path),
      problems: dataset.problems.map((problem) => withShownFile(problem, shown)),
    })),
  };
}

function withShownFile(problem: Problem, shown: (file: string) => string): Problem {
  const { place } = problem;
  return place ? { ...problem, place: { ...place, file: shown(place.file) } } : problem;
}

/** Without a readable base the rows are checked, but no tokens are counted. */
async function examineDatasets(
  recipe: Recipe,
): Promise<Pick<CheckedRecipe, 'base' | 'limit' | 'datasets'>> {
  try {
    const { base, read } = await openForTraining(recipe);
    try {
      const tools = await dataToolsOf(base);
      return {
        base: base.name,
        limit: Math.min(recipe.training.max_length, tools.max_positions),
        datasets: examineData(read, recipe, tools),
      };
    } finally {
      await base.close();
    }
  } catch (error) {
    if (!(error instanceof LoraError) || (error.area !== 'base' && error.area !== 'tokenizer')) {
      throw error;
    }
    return {
      base: null,
      limit: recipe.training.max_length,
      datasets: examineData(await readData(recipe, null), recipe, null),
    };
  }
}

function describeChecked({ datasets, max_length, limit }: CheckedRecipe): string {
  const shown =
    limit < max_length
      ? `${limit} tokens, the most that the model supports`
      : `max_length = ${max_length}`;
  return datasets.flatMap((dataset) => datasetLines(dataset, shown)).join('\n');
}

function datasetLines(dataset: CheckedDataset, limit: string): string[] {
  const { problems, cut, duplicates, lengths } = dataset;
  return [
    headline(dataset),
    ...lengths.map(
      ({ from, to, rows }) => `  ${`${from}–${to}`.padStart(12)} tokens: ${countOf(rows, 'row')}`,
    ),
    ...problems.map((problem) => `  ${problem.severity}: ${describeRowProblem(problem)}`),
    ...cut.map(
      ({ line, length, lost }) =>
        `  warning: line ${line}: truncated to ${limit}, which drops ${lost} of its ${length} tokens`,
    ),
    ...duplicates.map(({ line, first }) => `  warning: line ${line}: duplicate of line ${first}`),
  ];
}

function headline({ path: file, statistics }: CheckedDataset): string {
  if (!statistics) {
    return file;
  }
  const { examples, tokens, labelled_tokens, longest } = statistics;
  return `${file}: ${countOf(examples, 'example')}, ${countOf(tokens, 'token')}, ${labelled_tokens} with a loss, longest row ${countOf(longest, 'token')}`;
}

const describeRowProblem = ({ message, place }: Problem): string =>
  place?.line === undefined ? message : `${formatPlace(place)}: ${message}`;
