import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { examineData } from '../../data/dataset/examine';
import { readData } from '../../data/dataset/prepare';
import type { CheckedDataset, CheckedRecipe } from '../../shared/checkedRecipe';
import { formatPlace, LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { parseRecipe } from '../../shared/recipeFile';
import { dataToolsOf } from '../model/dataTools';
import { openForTraining } from '../training/open';
import type { Context } from './context';
import { readOptions, usageError } from './options';

export const CHECK_USAGE =
  'lora check RECIPE [--instead FILE=OTHER…] [--json]  (--instead: reads a dataset from another file, as for text that is not saved yet)';

/** Says what is wrong with a recipe's rows, and what there is to learn. 1: rows have errors. */
export async function check(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    { instead: { type: 'string', multiple: true } },
    CHECK_USAGE,
  );
  const [recipe] = positionals;
  if (recipe === undefined || positionals.length > 1)
    throw usageError('Name one recipe', CHECK_USAGE);
  const checked = await checkRecipe(path.resolve(recipe), insteadOf(values.instead ?? []));
  if (context.json) context.print(JSON.stringify({ kind: 'result', ...checked }));
  else context.print(wordsOf(checked));
  // With --json the answer is what was asked for, whatever it says.
  return !context.json &&
    checked.datasets.some(({ problems }) => problems.some(({ severity }) => severity === 'error'))
    ? 1
    : 0;
}

function insteadOf(pairs: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    pairs.map((pair) => {
      const at = pair.lastIndexOf('=');
      if (at <= 0)
        throw usageError(`--instead must be FILE=OTHER, not ${JSON.stringify(pair)}`, CHECK_USAGE);
      return [path.resolve(pair.slice(0, at)), path.resolve(pair.slice(at + 1))];
    }),
  );
}

async function checkRecipe(
  file: string,
  instead: ReadonlyMap<string, string>,
): Promise<CheckedRecipe> {
  const recipe = parseRecipe(await readFile(file, 'utf8'), file);
  const read = {
    ...recipe,
    dataset: instead.get(recipe.dataset) ?? recipe.dataset,
    validation:
      recipe.validation === null ? null : (instead.get(recipe.validation) ?? recipe.validation),
  };
  const back = new Map([...instead].map(([own, other]) => [other, own]));
  const named = (place: string) => back.get(place) ?? place;
  const { base, datasets } = await examined(read);
  return {
    task: recipe.task,
    base,
    max_length: recipe.training.max_length,
    datasets: datasets.map((own) => ({
      ...own,
      path: named(own.path),
      problems: own.problems.map((problem) =>
        problem.place
          ? { ...problem, place: { ...problem.place, file: named(problem.place.file) } }
          : problem,
      ),
    })),
  };
}

/** Without a base that can be read, as far as that goes: rows, no tokens. */
async function examined(
  recipe: Recipe,
): Promise<{ readonly base: string | null; readonly datasets: readonly CheckedDataset[] }> {
  try {
    const { base, read } = await openForTraining(recipe);
    try {
      return { base: base.name, datasets: examineData(read, recipe, await dataToolsOf(base)) };
    } finally {
      await base.close();
    }
  } catch (error) {
    if (!(error instanceof LoraError) || (error.area !== 'base' && error.area !== 'tokenizer'))
      throw error;
    return { base: null, datasets: examineData(await readData(recipe, null), recipe, null) };
  }
}

function wordsOf({ datasets, max_length }: CheckedRecipe): string {
  return datasets
    .flatMap(({ path: file, problems, cut, duplicates, statistics, lengths }) => [
      statistics
        ? `${file}: ${statistics.examples} examples, ${statistics.tokens} tokens, ${statistics.labelled_tokens} learnt, the longest row has ${statistics.longest}`
        : file,
      ...lengths.map(
        ({ from, to, rows }) =>
          `  ${`${from}–${to}`.padStart(12)} tokens: ${rows} ${rows === 1 ? 'row' : 'rows'}`,
      ),
      ...problems.map(
        ({ severity, message, place }) =>
          `  ${severity}: ${place?.line === undefined ? '' : `${formatPlace(place)}: `}${message}`,
      ),
      ...cut.map(
        ({ line, length, lost }) =>
          `  warning: line ${line}: cut to max_length = ${max_length}, ${lost} of its ${length} tokens are lost`,
      ),
      ...duplicates.map(({ line, first }) => `  warning: line ${line}: the same as line ${first}`),
    ])
    .join('\n');
}
