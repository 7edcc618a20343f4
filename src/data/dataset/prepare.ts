import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import type { FileFingerprint } from '../../shared/run';
import { needsLabels } from '../../shared/task';
import { splitExamples } from '../examples/split';
import { collate, collateImages, paddingId, type Batch } from '../examples/batch';
import { collectorSettings, openDataset, type Dataset } from './dataset';
import type { OnBytes } from '../../formats/tables/table';
import type { ImageReader } from '../images/reader';
import { labelSetOf, RowLabels, type LabelSet } from '../tasks/labelSet';
import { pack } from '../examples/pack';
import { ProblemCollector, throwErrors } from './problems';
import type { SampleRow } from '../examples/sampleRows';
import { chosenSamples, shownRows, type Part, type ShownRows } from './shownRows';
import { textTokenizer, type DataStatistics, type RowTokenizer } from '../examples/tokenizeRows';
import { taskTokenizer } from '../tasks/tokenizeTaskRows';
import { tokenizeDataset, type TokenizedDataset } from './tokenizedDataset';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { packedExamples, selectExamples, type Examples } from '../examples/examples';
import type { Example, ImageExample } from '../examples/example';

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
  /** Missing in recipes of older versions. */
  readonly skip_faulty_rows?: boolean;
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
  readonly train: Examples;
  readonly validation: Examples;
  readonly statistics: { readonly train: DataStatistics; readonly validation: DataStatistics };
  readonly labels: LabelSet | null;
  /** At most two rows of the validation set, or of the training set if there is none. */
  readonly sample_rows: readonly SampleRow[];
  /** All rows of that set that can be shown. */
  readonly shown_rows: ShownRows;
  readonly warnings: readonly Problem[];
  /** The rows that are left out because they have errors (skip_faulty_rows), and the errors. */
  readonly skipped: { readonly rows: number; readonly problems: readonly Problem[] };
  /** Rows that the lists beside the datasets leave out, by the file of the list. */
  readonly excluded: readonly ExcludedCount[];
  /** Of the datasets, each followed by that of its list of excluded rows. */
  readonly fingerprint: readonly FileFingerprint[];
  /** Pads examples to a batch. Rejects with LoraError('dataset') for an unreadable image. */
  readonly collate: (examples: readonly Example[]) => Promise<Batch>;
  /** Positions that an image takes. */
  readonly image_length: number;
  /** Deletes the temporary file of the examples, which cannot be read any more then. */
  readonly close: () => void;
}

/** How many rows a list leaves out. */
export interface ExcludedCount {
  readonly file: string;
  readonly rows: number;
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
  /** Folder for temporary files of large data sets. Default: the system's. */
  readonly scratch_folder?: string;
  /** From 0 to 1, several times a second. What it throws ends the reading. */
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Reads a recipe's datasets (absolute paths).
 *
 * @param known Labels of the base's head, if it has one.
 * @param onProgress From 0 to 1; what it throws ends the reading.
 */
export async function readData(
  recipe: DataRecipe,
  known: readonly string[] | null,
  onProgress: (fraction: number) => void = () => undefined,
): Promise<ReadData> {
  const files = recipe.validation === null ? [recipe.dataset] : [recipe.dataset, recipe.validation];
  const datasets: Dataset[] = [];
  const labelled: LabelledFile[] = [];
  for (const [i, file] of files.entries()) {
    const own = labelledFile(file, recipe);
    labelled.push(own);
    const dataset = await openDataset(
      file,
      recipe,
      (row) => own.labels.add(row),
      (done, size) => onProgress((i + done / size) / files.length),
    );
    own.problems.useUnit(dataset.unit);
    datasets.push(dataset);
  }
  return withLabels(datasets, labelled, recipe, known);
}

/** The labels of a dataset's rows. */
interface LabelledFile {
  readonly labels: RowLabels;
  readonly problems: ProblemCollector;
  /** Lines whose labels do not fit those of the others. */
  readonly faulty: ReadonlySet<number>;
}

function labelledFile(file: string, recipe: DataRecipe): LabelledFile {
  const faulty = new Set<number>();
  const problems = new ProblemCollector(file, {
    ...collectorSettings(recipe),
    ...(recipe.skip_faulty_rows && { onFaultyRow: (line: number) => faulty.add(line) }),
  });
  return { labels: new RowLabels(problems), problems, faulty };
}

function withLabels(
  datasets: readonly Dataset[],
  labelled: readonly LabelledFile[],
  { task, problem_type, skip_faulty_rows: skip = false }: DataRecipe,
  known: readonly string[] | null,
): ReadData {
  const hasFaults = datasets.some(({ problems }) => problems.some((p) => p.severity === 'error'));
  if (!needsLabels(task) || hasFaults) return { datasets, labels: null };
  const items = labelled.flatMap(({ labels }) => labels.items);
  const labels = labelSetOf(items, { task, problem_type, known, skip });
  return {
    labels,
    datasets: datasets.map((own, i) => withoutFaulty(own, labelled[i]!)),
  };
}

function withoutFaulty(dataset: Dataset, { problems, faulty }: LabelledFile): Dataset {
  return {
    ...dataset,
    rows: dataset.rows - faulty.size,
    problems: [...dataset.problems, ...problems.problems()],
    skippedRows: dataset.skippedRows + problems.skippedRows,
    forEachRow: (visit, onBytes) =>
      dataset.forEachRow((row, offset) => {
        if (!faulty.has(row.line)) visit(row, offset);
      }, onBytes),
  };
}

/**
 * Tokenizes the datasets and splits off the validation set. The caller closes the result.
 *
 * @throws LoraError('dataset') with the errors in the rows of both files, or where no row is left
 *   or a file has changed since it was read; LoraError('recipe') for packing with a task other than
 *   causal_lm; LoraError('disk') where the examples cannot be stored.
 */
export async function prepareData(
  { datasets, labels }: ReadData,
  recipe: DataRecipe,
  tools: DataTools,
): Promise<PreparedData> {
  if (needsLabels(recipe.task) && !labels)
    throwErrors(datasets.flatMap(({ problems }) => problems));
  const tokenized: TokenizedDataset[] = [];
  const close = () => tokenized.forEach((own) => own.close());
  try {
    const tokenizers = datasets.map((dataset) => tokenizerFor(dataset, labels, recipe, tools));
    for (const [i, dataset] of datasets.entries()) {
      const settings = {
        scratch: scratchFile(tools, i),
        image_length: tools.images?.length ?? 1,
      };
      const onBytes = fileProgress(tools, i, datasets.length);
      tokenized.push(await tokenizeDataset(dataset, tokenizers[i]!, settings, onBytes));
      tools.onProgress?.((i + 1) / datasets.length);
    }
    return await assemble(tokenized, labels, recipe, { tools, close });
  } catch (error) {
    close();
    throw error;
  }
}

/** The progress of one of several files. */
export const fileProgress =
  ({ onProgress }: Pick<DataTools, 'onProgress'>, index: number, files: number): OnBytes =>
  (done, size) =>
    onProgress?.((index + done / size) / files);

/** A leftover of this name is removed with those of other interrupted writes. */
const scratchFile = ({ scratch_folder = tmpdir() }: DataTools, index: number): string =>
  path.join(scratch_folder, `examples-${index}.${randomUUID()}.${process.pid}.tmp`);

async function assemble(
  tokenized: readonly TokenizedDataset[],
  labels: LabelSet | null,
  recipe: DataRecipe,
  { tools, close }: { readonly tools: DataTools; readonly close: () => void },
): Promise<PreparedData> {
  const problems = tokenized.flatMap((own) => [...own.dataset.problems, ...own.problems]);
  throwErrors(problems);
  for (const { dataset, facts } of tokenized)
    if (facts.length === 0) throw noneLeft(dataset.path, problems);
  const [train, validation] = partsOf(tokenized, recipe);
  const trained = partExamples(train);
  const shown = validation.indices.length > 0 ? validation : train;
  return {
    train: recipe.training.packing ? packed(trained, recipe) : trained,
    validation: partExamples(validation),
    statistics: { train: partStatistics(train), validation: partStatistics(validation) },
    labels,
    sample_rows: await chosenSamples(shown),
    shown_rows: shownRows(shown),
    warnings: problems.filter(({ skipped }) => skipped !== true),
    skipped: {
      rows: tokenized.reduce((sum, own) => sum + skippedIn(own), 0),
      problems: problems.filter(({ skipped }) => skipped === true),
    },
    excluded: tokenized.flatMap(({ dataset: { excludedList, excludedRows: rows } }) =>
      excludedList ? [{ file: excludedList.file, rows }] : [],
    ),
    fingerprint: tokenized.flatMap(({ dataset: { fingerprint, excludedList } }) =>
      [fingerprint, excludedList].filter((print) => print !== null),
    ),
    collate: collator(tools),
    image_length: tools.images?.length ?? 1,
    close,
  };
}

const skippedIn = ({ dataset, tokenizer }: TokenizedDataset): number =>
  dataset.skippedRows + tokenizer.problems.skippedRows;

const partExamples = ({ tokenized, indices }: Part): Examples =>
  selectExamples(tokenized.examples, indices);
const partStatistics = ({ tokenized, indices }: Part): DataStatistics =>
  tokenized.facts.statisticsOf(indices);

/** The training set and the validation set. */
function partsOf(
  [dataset, validation]: readonly TokenizedDataset[],
  { validation_split, training }: DataRecipe,
): readonly [Part, Part] {
  const all = (tokenized: TokenizedDataset): Part => ({
    tokenized,
    indices: Int32Array.from({ length: tokenized.facts.length }, (_, i) => i),
  });
  if (validation) return [all(dataset!), all(validation)];
  const { indices } = all(dataset!);
  const drawn = splitExamples(indices, validation_split, training.seed);
  return [
    { tokenized: dataset!, indices: drawn.train },
    { tokenized: dataset!, indices: drawn.validation },
  ];
}

function packed(examples: Examples, recipe: DataRecipe): Examples {
  checkPacking(recipe);
  return packedExamples(examples, pack(examples, recipe.training.max_length));
}

/** @throws LoraError('recipe') for packing with a task other than causal_lm. */
export function checkPacking({ task, dataset, training }: DataRecipe): void {
  if (!training.packing || task === 'causal_lm') return;
  throw new LoraError(
    'recipe',
    `training.packing is for the task causal_lm only, but the task is ${task}.`,
    { place: { file: dataset, key: 'training.packing' }, fix: 'Set it to false.' },
  );
}

function collator(tools: DataTools): PreparedData['collate'] {
  const { tokenizer, images, vocab_size, max_positions } = tools;
  const pad_id = paddingId(tokenizer, vocab_size);
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

/** What turns the rows of a dataset into examples. */
export function tokenizerFor(
  { path: file, unit }: Dataset,
  labels: LabelSet | null,
  recipe: DataRecipe,
  { tokenizer, images, vocab_size, has_types, max_positions }: DataTools,
): RowTokenizer {
  const max_length = Math.min(recipe.training.max_length, max_positions);
  const problems = new ProblemCollector(file, { ...collectorSettings(recipe), unit });
  if (recipe.task !== 'causal_lm')
    return taskTokenizer(problems, {
      tokenizer,
      max_length,
      labels,
      has_types,
      image_length: images?.length ?? 1,
      ...(vocab_size !== undefined && { vocab_size }),
    });
  return textTokenizer(problems, {
    tokenizer: tokenizer!,
    max_length,
    labels: recipe.labels,
    rows: recipe,
    ...(vocab_size !== undefined && { vocab_size }),
  }) as RowTokenizer;
}
