import { LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import type { FileFingerprint } from '../../shared/run';
import { needsLabels } from '../../shared/task';
import { splitExamples } from '../examples/split';
import type { RowSettings } from '../rows/settings';
import { collate, collateImages, type Batch } from '../examples/batch';
import { scanDataset, type Dataset } from './dataset';
import { readImageFolder } from '../images/folder';
import type { ImageReader } from '../images/reader';
import { labelSetOf, type LabelSet } from '../tasks/labelSet';
import { pack } from '../examples/pack';
import { ProblemCollector, throwErrors } from './problems';
import { selectSampleRows, type SampleRow } from '../examples/sampleRows';
import {
  statisticsOf,
  tokenizeRows,
  type DataStatistics,
  type TokenizedRows,
} from '../examples/tokenizeRows';
import { tokenizeTaskRows } from '../tasks/tokenizeTaskRows';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { TextRow } from '../rows/row';
import type { Example, ImageExample, TokensExample } from '../examples/example';

export type DataRecipe = Pick<
  Recipe,
  | 'task'
  | 'problem_type'
  | 'dataset'
  | 'validation'
  | 'validation_split'
  | 'labels'
  | 'chats'
  | 'unlabelled_rows'
> & {
  readonly training: Pick<Recipe['training'], 'max_length' | 'seed' | 'packing'>;
};

/** The rows of a recipe's datasets, checked as far as possible without the base. */
export interface ReadData {
  /** The training set, and the validation set where the recipe names one. */
  readonly datasets: readonly Dataset[];
  /** Null for tasks without labels, and where rows have errors. */
  readonly labels: LabelSet | null;
}

export interface PreparedData {
  readonly train: readonly Example[];
  readonly validation: readonly Example[];
  readonly statistics: { readonly train: DataStatistics; readonly validation: DataStatistics };
  readonly labels: LabelSet | null;
  /** At most two rows of the validation set, or of the training set if there is none. */
  readonly sample_rows: readonly SampleRow[];
  readonly warnings: readonly Problem[];
  readonly fingerprint: readonly FileFingerprint[];
  /** Pads examples to a batch. Rejects with LoraError('dataset') for an unreadable image. */
  readonly collate: (examples: readonly Example[]) => Promise<Batch>;
  /** Positions that an image takes. */
  readonly image_length: number;
}

/** What turns rows into the inputs of a base model. */
export interface DataTools {
  readonly tokenizer: Tokenizer | null;
  readonly images: ImageReader | null;
  /** Rows of the model's embedding. Default: the tokenizer's vocabulary. */
  readonly vocab_size?: number;
  /** Whether the model has token types, which mark the second of two texts. */
  readonly has_types: boolean;
  /** The most tokens that the model has positions for. */
  readonly max_positions: number;
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

const ROWS_BETWEEN_REPORTS = 256;

/**
 * Reads a dataset: a .jsonl file, or a folder of images for image_cls. Errors in rows are reported
 * in the dataset's problems.
 *
 * @throws LoraError('dataset') where a folder of images cannot be read.
 */
export async function readRows(file: string, recipe: RowSettings): Promise<Dataset> {
  return recipe.task === 'image_cls'
    ? { path: file, ...(await readImageFolder(file)) }
    : scanDataset(file, recipe);
}

/**
 * Reads a recipe's datasets (absolute paths).
 *
 * @param known Labels of the base's head, if it has one.
 */
export async function readData(
  recipe: DataRecipe,
  known: readonly string[] | null,
): Promise<ReadData> {
  const { task, problem_type, dataset, validation } = recipe;
  const files = validation === null ? [dataset] : [dataset, validation];
  const datasets = await Promise.all(files.map((file) => readRows(file, recipe)));
  const hasFaults = datasets.some(({ problems }) => problems.some((p) => p.severity === 'error'));
  if (!needsLabels(task) || hasFaults) return { datasets, labels: null };
  const problems = new ProblemCollector(dataset);
  const rows = datasets.flatMap((own) => own.rows);
  const labels = labelSetOf(rows, { task, problem_type, known }, problems);
  return {
    labels,
    datasets: datasets.map((own, i) =>
      i === 0 ? { ...own, problems: [...own.problems, ...problems.problems()] } : own,
    ),
  };
}

/**
 * Tokenizes the datasets and splits off the validation set.
 *
 * @throws LoraError('dataset') with every error in every row of both files, or where no row is
 *   left; LoraError('recipe') for packing with a task other than causal_lm.
 */
export function prepareData(
  { datasets, labels }: ReadData,
  recipe: DataRecipe,
  tools: DataTools,
): PreparedData {
  const problemsBefore = datasets.flatMap(({ problems }) => problems);
  if (needsLabels(recipe.task) && !labels) throwErrors(problemsBefore);
  const tokenized = tokenizeAll(datasets, labels, recipe, tools);
  const problems = datasets.flatMap((dataset, i) => [
    ...dataset.problems,
    ...tokenized[i]!.problems,
  ]);
  throwErrors(problems);
  for (const [i, { path }] of datasets.entries())
    if (tokenized[i]!.examples.length === 0) throw noneLeft(path, problems);
  const [train, validation] =
    recipe.validation === null ? split(tokenized[0]!, recipe) : [tokenized[0]!, tokenized[1]!];
  const image_length = tools.images?.length ?? 1;
  return {
    train: recipe.training.packing ? packed(train.examples, recipe) : train.examples,
    validation: validation.examples,
    statistics: {
      train: statisticsOf(train, image_length),
      validation: statisticsOf(validation, image_length),
    },
    labels,
    sample_rows: selectSampleRows(validation.rows.length > 0 ? validation : train),
    warnings: problems,
    fingerprint: datasets.flatMap((dataset) => dataset.fingerprint ?? []),
    collate: collator(tools),
    image_length,
  };
}

function packed(examples: readonly Example[], { task, dataset, training }: DataRecipe): Example[] {
  if (task !== 'causal_lm')
    throw new LoraError(
      'recipe',
      `training.packing is for the task causal_lm only, but the task is ${task}.`,
      { place: { file: dataset, key: 'training.packing' }, fix: 'Set it to false.' },
    );
  return pack(examples as readonly TokensExample[], training.max_length);
}

function collator({ tokenizer, images, max_positions }: DataTools): PreparedData['collate'] {
  const pad_id = tokenizer?.pad_token_id ?? tokenizer?.eos_token_id ?? 0;
  if (!images)
    return (examples) =>
      Promise.resolve(
        collate(examples as readonly Exclude<Example, ImageExample>[], pad_id, max_positions),
      );
  return async (examples) => {
    const own = examples as readonly ImageExample[];
    return collateImages(
      own,
      await Promise.all(own.map(({ file }) => images.read(file))),
      images.length,
    );
  };
}

function noneLeft(file: string, problems: readonly Problem[]): LoraError {
  return new LoraError('dataset', 'No row of the dataset is left: all are skipped.', {
    place: { file },
    problems: problems.filter((problem) => problem.place?.file === file),
    fix: 'Correct the rows, raise max_length, or change what "chats" and "unlabelled_rows" in the recipe do with them.',
  });
}

type Part = Pick<TokenizedRows, 'examples' | 'rows' | 'lengths'>;

/** Turns the rows of each dataset into examples. Errors in rows are reported as problems. */
export function tokenizeAll(
  datasets: readonly Dataset[],
  labels: LabelSet | null,
  recipe: DataRecipe,
  { tokenizer, images, vocab_size, has_types, max_positions, onProgress }: DataTools,
): TokenizedRows[] {
  const max_length = Math.min(recipe.training.max_length, max_positions);
  const textSettings = {
    tokenizer: tokenizer!,
    max_length,
    labels: recipe.labels,
    rows: recipe,
    ...(vocab_size !== undefined && { vocab_size }),
  };
  const image_length = images?.length ?? 1;
  const taskSettings = { tokenizer, max_length, labels, has_types, image_length };
  const total = datasets.reduce((sum, dataset) => sum + dataset.rows.length, 0);
  let before = 0;
  return datasets.map(({ path, rows }) => {
    const onRow = (done: number) => {
      if (done % ROWS_BETWEEN_REPORTS === 0) onProgress?.((before + done) / total);
    };
    const tokenized =
      recipe.task === 'causal_lm'
        ? tokenizeRows(path, rows as readonly TextRow[], textSettings, onRow)
        : tokenizeTaskRows(path, rows, taskSettings, onRow);
    before += rows.length;
    if (total > 0) onProgress?.(before / total);
    return tokenized;
  });
}

function split(
  { examples, rows, lengths }: Part,
  { validation_split, training }: DataRecipe,
): [Part, Part] {
  const { train, validation } = splitExamples(
    [...examples.keys()],
    validation_split,
    training.seed,
  );
  const part = (drawn: readonly number[]) => ({
    examples: drawn.map((i) => examples[i]!),
    rows: drawn.map((i) => rows[i]!),
    lengths: drawn.map((i) => lengths[i]!),
  });
  return [part(train), part(validation)];
}
