import path from 'node:path';
import * as v from 'valibot';
import { excludedFileOf } from '../../formats/excludedRows';
import { triedBeside } from '../../formats/run/triedRuns';
import { recipeAdvice } from '../../shared/advice/recipeAdvice';
import { trainedOn, type CheckedDataset, type CheckedRecipe } from '../../shared/checkedRecipe';
import { formatPlace, type Problem } from '../../shared/errors';
import { listProblems, type Listed } from '../../shared/problemKinds';
import { pathsOf, withPaths } from '../../shared/datasetSources';
import { parseRecipe } from '../../shared/recipeFile';
import { availableMemory } from '../../common/system';
import { describeLayersMemory } from '../layersModel/memory';
import { describeStepMemory } from '../training/stepMemoryText';
import { examineRecipe, type ExamineSettings } from '../training/examine';
import { readRecipeText } from '../training/readRecipe';
import { describeAdvice } from './adviceText';
import { defineCommand, form } from './command';
import { printResult } from './context';
import { list, optional } from './options';
import { noteAbove, withQuietProgress } from './progress';
import { countOf } from '../../shared/values';
import { describeSources, joinLines } from '../report';

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

/** lora check: exit code 1 if a training run would be refused. */
export const checkCommand = defineCommand({
  name: 'check',
  endedBySignals: true,
  summary: 'Checks a recipe, its base, its adapters and every row of its datasets.',
  forms: [
    form({
      positionals: {
        recipe: { valueName: 'RECIPE', help: 'recipe: a JSON file such as lora.json' },
      },
      options: {
        instead: list(
          replacement,
          'FILE=OTHER',
          'read OTHER instead of the dataset FILE, such as a copy with unsaved changes',
        ),
        'row-cache': optional(
          v.string(),
          'FILE',
          'keep the lengths of rows in FILE, so that rows that did not change are not tokenized again',
        ),
      },
      run: async ({ positionals, options }, context) => {
        const checked = await withQuietProgress(context, 'checking rows', (report) =>
          checkDatasets(path.resolve(positionals.recipe), options.instead, {
            report,
            rowCache: options['row-cache'],
            onDownload: noteAbove(context),
          }),
        );
        printResult(context, checked, () => describeChecked(checked));
        const hasErrors = [checked, ...checked.datasets]
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
  settings: ExamineSettings,
): Promise<CheckedRecipe> {
  const otherOf = new Map(replacements.map(({ file: original, other }) => [original, other]));
  const fileOf = new Map(replacements.map(({ file: original, other }) => [other, original]));
  const read = (dataset: string) => otherOf.get(dataset) ?? dataset;
  const shown = (dataset: string) => fileOf.get(dataset) ?? dataset;
  const recipe = parseRecipe(await readRecipeText(file), file);
  const { problems, datasets, ...others } = await examineRecipe(
    {
      ...recipe,
      dataset: withPaths(recipe.dataset, pathsOf(recipe.dataset).map(read)),
      validation: recipe.validation === null ? null : read(recipe.validation),
    },
    file,
    settings,
  );
  return {
    ...others,
    task: recipe.task,
    max_length: recipe.training.max_length,
    advice: recipeAdvice(recipe, { rows: rowsIn(datasets), runs: await triedBeside(file) }),
    problems: problems.map((problem) => withShownFile(problem, shown)),
    datasets: datasets.map((dataset) => ({
      ...dataset,
      path: shown(dataset.path),
      problems: dataset.problems.map((problem) => withShownFile(problem, shown)),
    })),
  };
}

/** The rows that are trained on; null where some cannot be counted. */
function rowsIn(datasets: readonly CheckedDataset[]): number | null {
  const counts = trainedOn(datasets).map(({ statistics }) => statistics?.examples ?? null);
  return counts.includes(null) ? null : counts.reduce<number>((sum, own) => sum + own!, 0);
}

function withShownFile(problem: Problem, shown: (file: string) => string): Problem {
  const { place } = problem;
  return place ? { ...problem, place: { ...place, file: shown(place.file) } } : problem;
}

function describeChecked({
  datasets,
  sources,
  max_length,
  limit,
  problems,
  memory,
  layers_memory,
  advice,
}: CheckedRecipe): string {
  const shown =
    limit < max_length
      ? `${countOf(limit, 'token')}, the most that the model supports`
      : `max_length = ${max_length}`;
  return joinLines([
    ...problems.map((problem) => `${problem.severity}: ${describeWithPlace(problem)}`),
    ...datasets.flatMap((dataset) => datasetLines(dataset, shown)),
    ...describeSources(sources ?? []),
    ...(memory ? describeStepMemory(memory) : []),
    ...(layers_memory ? [describeLayersMemory(layers_memory, '', availableMemory())] : []),
    ...(advice ?? []).map((own) => `advice: ${describeAdvice(own)}`),
  ]);
}

function datasetLines(dataset: CheckedDataset, limit: string): string[] {
  const { lengths, skipped_rows, excluded_rows } = dataset;
  return [
    headline(dataset),
    ...(skipped_rows > 0
      ? [`  ${countOf(skipped_rows, 'row')} with errors left out (skip_faulty_rows)`]
      : []),
    ...(excluded_rows > 0
      ? [
          `  ${countOf(excluded_rows, 'row')} excluded (${path.basename(excludedFileOf(dataset.path))})`,
        ]
      : []),
    ...lengths.map(
      ({ from, to, rows }) => `  ${`${from}–${to}`.padStart(12)} tokens: ${countOf(rows, 'row')}`,
    ),
    ...listProblems(findingsOf(dataset, limit)),
  ];
}

/** The problems of rows, those that are cut and duplicates; what is only counted comes last. */
function findingsOf(dataset: CheckedDataset, limit: string): Listed[] {
  const { problems, cut, duplicates, duplicate_rows, statistics } = dataset;
  const isCut = `truncated to ${limit}`;
  const isDuplicate = 'duplicate of an earlier line';
  const warning = (message: string, text: string): Listed => ({
    message,
    text: `warning: ${text}`,
  });
  const unlisted = (message: string, rows: number): Listed[] =>
    rows > 0 ? [{ message, text: `warning: ${countOf(rows, 'more row')}: ${message}`, rows }] : [];
  return [
    ...problems.map((problem) => ({
      ...problem,
      text: `${problem.severity}: ${describeRowProblem(problem)}`,
    })),
    ...cut.map(({ line, length, lost }) =>
      warning(
        isCut,
        `line ${line}: ${isCut}, which drops ${lost} of its ${countOf(length, 'token')}`,
      ),
    ),
    ...duplicates.map(({ line, first }) =>
      warning(isDuplicate, `line ${line}: duplicate of line ${first}`),
    ),
    ...unlisted(isCut, (statistics?.truncated ?? 0) - cut.length),
    ...unlisted(isDuplicate, duplicate_rows - duplicates.length),
  ];
}

function headline({ path: file, statistics }: CheckedDataset): string {
  if (!statistics) {
    return file;
  }
  const { examples, tokens, labelled_tokens, longest } = statistics;
  return `${file}: ${countOf(examples, 'example')}, ${countOf(tokens, 'token')}, ${labelled_tokens} with a loss, longest row ${countOf(longest, 'token')}`;
}

const describeWithPlace = ({ message, place }: Problem): string =>
  place === undefined ? message : `${formatPlace(place)}: ${message}`;

const describeRowProblem = ({ message, place }: Problem): string =>
  place?.line === undefined && place?.row === undefined
    ? message
    : `${formatPlace(place)}: ${message}`;
