import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LoraError, type Problem } from '../../shared/errors';
import { objectiveOf, rowFormOf } from '../../shared/objective';
import { sourcesOf } from '../../shared/datasetSources';
import { filesBySource, mixOf } from './mix';
import { listSources, type HubFiles } from './sources';
import { needsLabels } from '../../shared/task';
import { AnswerKinds } from './answerKinds';
import { splitExamples } from '../examples/split';
import { checkImages } from '../images/checkImages';
import { readImagesOf } from '../images/readRows';
import { collate, collateCaptioned, collateImages, paddingId } from '../examples/batch';
import { withBatchImages } from '../examples/batchImages';
import { collectorSettings, openDataset, type Dataset } from './dataset';
import type { OnBytes } from '../../formats/tables/table';
import { labelSetOf, RowLabels, type LabelSet } from '../tasks/labelSet';
import { ProblemCollector, throwErrors } from './problems';
import type { Row } from '../rows/row';
import { callAnswers, chosenSamples, shownRows, type Part } from './shownRows';
import { answerTokenizer } from '../examples/answerTokenizer';
import { preferenceTokenizer } from '../examples/preferenceTokenizer';
import { textTokenizer, type DataStatistics, type RowTokenizer } from '../examples/tokenizeRows';
import { taskTokenizer } from '../tasks/tokenizeTaskRows';
import { tokenizeRows, type TokenizedFile, type TokenizedSet } from './tokenizedDataset';
import { selectExamples, type Examples } from '../examples/examples';
import type { RowImages } from '../examples/rowImages';
import { VISION_MODELS } from '../../formats/architecture/families';
import type { CaptionedExample, ImageExample, TokenExample } from '../examples/example';

import type { DataRecipe, DataTools, PreparedData, ReadData, ReadSource } from './dataTypes';

export type {
  DataRecipe,
  DataTools,
  PreparedData,
  PreparedSource,
  ReadData,
  ReadSource,
} from './dataTypes';

/** How a recipe's datasets are read. */
export interface ReadOptions {
  /** From 0 to 1; what it throws ends the reading. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Finds the files of datasets on the Hub. */
  readonly hub?: HubFiles | undefined;
}

/**
 * Reads a recipe's datasets (absolute paths).
 *
 * @param known Labels of the base's head, if it has one.
 * @throws LoraError('dataset') where a source has no files
 */
export async function readData(
  recipe: DataRecipe,
  known: readonly string[] | null,
  { onProgress, hub }: ReadOptions = {},
): Promise<ReadData> {
  const listed = await listSources(recipe, hub);
  const total = listed.reduce((sum, { files }) => sum + files.length, 0);
  const datasets: Dataset[] = [];
  const labelled: LabelledFile[] = [];
  const sources: ReadSource[] = [];
  const kinds = { train: new AnswerKinds(), validation: new AnswerKinds() };
  for (const { source, set, files, revision } of listed) {
    const from = datasets.length;
    let left = source.rows ?? Infinity;
    for (const file of files) {
      if (left === 0) break;
      const own = labelledFile(file, recipe, kinds[set]);
      const settings = { ...recipe, columns: source.columns, limit: left };
      const i = datasets.length;
      const onBytes: OnBytes = (done, size) => onProgress?.((i + done / size) / total);
      const add = (row: Row) => {
        own.labels.add(row);
        own.kinds.add(row);
      };
      const dataset = await openDataset(file, settings, add, onBytes);
      own.problems.useUnit(dataset.unit);
      labelled.push(own);
      datasets.push(dataset);
      left -= dataset.rows;
    }
    sources.push({ source, set, revision, from, to: datasets.length });
  }
  return { ...withLabels(datasets, labelled, recipe, known), sources };
}

/** The labels of a dataset's rows. */
interface LabelledFile {
  readonly labels: RowLabels;
  readonly problems: ProblemCollector;
  /** Lines whose labels do not fit those of the others. */
  readonly faulty: ReadonlySet<number>;
  /** Rows of kto: how many are labelled true or false, and the line of the first. */
  readonly kinds: AnswerKinds;
}

function labelledFile(file: string, recipe: DataRecipe, kinds: AnswerKinds): LabelledFile {
  const faulty = new Set<number>();
  const problems = new ProblemCollector(file, {
    ...collectorSettings(recipe),
    ...(recipe.skip_faulty_rows && { onFaultyRow: (line: number) => faulty.add(line) }),
  });
  return { labels: new RowLabels(problems), problems, faulty, kinds };
}

function withLabels(
  datasets: readonly Dataset[],
  labelled: readonly LabelledFile[],
  recipe: DataRecipe,
  known: readonly string[] | null,
): ReadData {
  const { task, problem_type, skip_faulty_rows: skip = false } = recipe;
  const hasFaults = datasets.some(({ problems }) => problems.some((p) => p.severity === 'error'));
  const objective = objectiveOf(recipe);
  if (objective?.method === 'kto' && !hasFaults) {
    labelled[0]!.kinds.check(labelled[0]!.problems, objective);
    return { labels: null, datasets: datasets.map((own, i) => withoutFaulty(own, labelled[i]!)) };
  }
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
  read: ReadData,
  recipe: DataRecipe,
  tools: DataTools,
): Promise<PreparedData> {
  const { datasets, labels } = read;
  if (needsLabels(recipe.task) && !labels)
    throwErrors(datasets.flatMap(({ problems }) => problems));
  const sources = sourcesIn(read);
  const sets: TokenizedSet[] = [];
  const close = () => sets.forEach((own) => own.close());
  try {
    const rows = datasets.map((dataset, i) => ({
      dataset,
      tokenizer: tokenizerFor(dataset, labels, recipe, tools),
      onBytes: fileProgress(tools, i, datasets.length),
    }));
    for (const [i, set] of (['train', 'validation'] as const).entries()) {
      const own = sources.filter((source) => source.set === set);
      const files = own.flatMap(({ from, to }) => rows.slice(from, to));
      if (files.length === 0) continue;
      const image_length = tools.images?.length ?? 1;
      sets.push(await tokenizeRows(files, { scratch: scratchFile(tools, i), image_length }));
      tools.onProgress?.((own.at(-1)?.to ?? 0) / datasets.length);
    }
    for (const set of sets) await checkImages(set);
    refusePackedImages(sets, recipe);
    return await assemble({ sets, sources, labels }, recipe, { tools, close });
  } catch (error) {
    close();
    throw error;
  }
}

/** The set that the datasets belong to. */
export const sourcesIn = ({ datasets, sources }: ReadData): readonly ReadSource[] =>
  sources ??
  datasets.map(({ path: file }, i) => ({
    source: sourcesOf(file)[0]!,
    set: i === 0 ? ('train' as const) : ('validation' as const),
    from: i,
    to: i + 1,
  }));

/** The progress of one of several files. */
export const fileProgress =
  ({ onProgress }: Pick<DataTools, 'onProgress'>, index: number, files: number): OnBytes =>
  (done, size) =>
    onProgress?.((index + done / size) / files);

/** A leftover of this name is removed with those of other interrupted writes. */
const scratchFile = ({ scratch_folder = tmpdir() }: DataTools, index: number): string =>
  path.join(scratch_folder, `examples-${index}.${randomUUID()}.${process.pid}.tmp`);

interface Tokenized {
  /** The training set, and the validation set if there is one of its own. */
  readonly sets: readonly TokenizedSet[];
  readonly sources: readonly ReadSource[];
  readonly labels: LabelSet | null;
}

async function assemble(
  { sets, sources, labels }: Tokenized,
  recipe: DataRecipe,
  { tools, close }: { readonly tools: DataTools; readonly close: () => void },
): Promise<PreparedData> {
  const files = sets.flatMap((own) => own.files);
  const problems = files.flatMap(({ dataset, tokenizer }) => [
    ...dataset.problems,
    ...tokenizer.problems.problems(),
  ]);
  throwErrors(problems);
  for (const { source, files: own } of filesBySource(sets, sources))
    if (own.every(({ from, to }) => from === to))
      throw noneLeft(own[0]?.dataset.path ?? source.path, problems);
  const [train, validation] = partsOf(sets, recipe);
  const mixed = mixOf({ train, validation, sets, sources }, recipe);
  const shown = validation.indices.length > 0 ? validation : train;
  return {
    ...mixed,
    validation: partExamples(validation),
    statistics: { train: partStatistics(train), validation: partStatistics(validation) },
    labels,
    has_weights: sets.some(({ facts }) => facts.hasWeights),
    has_images: sets.some(({ facts }) => facts.hasImages),
    sample_rows: await chosenSamples(shown),
    call_answers: await callAnswers(validation),
    shown_rows: shownRows(shown),
    warnings: problems.filter(({ skipped }) => skipped !== true),
    skipped: {
      rows: files.reduce((sum, own) => sum + skippedIn(own), 0),
      problems: problems.filter(({ skipped }) => skipped === true),
    },
    excluded: files.flatMap(({ dataset: { excludedList, excludedRows: rows } }) =>
      excludedList ? [{ file: excludedList.file, rows }] : [],
    ),
    fingerprint: files.flatMap(({ dataset: { fingerprint, excludedList } }) =>
      [fingerprint, excludedList].filter((print) => print !== null),
    ),
    collate: collator(tools),
    image_length: tools.images?.length ?? 1,
    close,
  };
}

const skippedIn = ({ dataset, tokenizer }: TokenizedFile): number =>
  dataset.skippedRows + tokenizer.problems.skippedRows;

const partExamples = ({ tokenized, indices }: Part): Examples =>
  selectExamples(tokenized.examples, indices);
const partStatistics = ({ tokenized, indices }: Part): DataStatistics =>
  tokenized.facts.statisticsOf(indices);

/** The training set and the validation set. */
function partsOf(
  [train, validation]: readonly TokenizedSet[],
  { validation_split, training }: DataRecipe,
): readonly [Part, Part] {
  const all = (tokenized: TokenizedSet): Part => ({
    tokenized,
    indices: Int32Array.from({ length: tokenized.facts.length }, (_, i) => i),
  });
  if (validation) return [all(train!), all(validation)];
  const { indices } = all(train!);
  const drawn = splitExamples(indices, validation_split, training.seed);
  return [
    { tokenized: train!, indices: drawn.train },
    { tokenized: train!, indices: drawn.validation },
  ];
}

function collator(tools: DataTools): PreparedData['collate'] {
  const { tokenizer, images, vocab_size, max_positions, fills = false } = tools;
  const { chat_images = null } = tools;
  const pad_id = paddingId(tokenizer, vocab_size);
  if (!images)
    return (examples) => {
      const own = examples as readonly TokenExample[];
      const batch = collate(own, pad_id, max_positions);
      return Promise.resolve(withBatchImages(batch, own, chat_images));
    };
  const readAll = (examples: readonly (ImageExample | CaptionedExample)[]) =>
    readImagesOf(examples, images.read);
  if (!tokenizer)
    return async (examples) => {
      const own = examples as readonly ImageExample[];
      return collateImages(own, await readAll(own), images.length);
    };
  const padding = { pad_id, max_length: max_positions, fills };
  return async (examples) => {
    const own = examples as readonly CaptionedExample[];
    return collateCaptioned(own, await readAll(own), images.length, padding);
  };
}

function noneLeft(file: string, problems: readonly Problem[]): LoraError {
  return new LoraError('dataset', 'No row of the dataset is left: all are skipped.', {
    place: { file },
    problems: problems.filter((problem) => problem.place?.file === file),
    fix: 'Correct the rows, raise max_length, or change what "chats" and "unlabelled_rows" in the recipe do with them.',
  });
}

/** @throws LoraError('recipe') where rows with images are to be packed */
function refusePackedImages(sets: readonly TokenizedSet[], { training }: DataRecipe): void {
  if (!training.packing || !sets.some(({ facts }) => facts.hasImages)) return;
  throw new LoraError('recipe', 'Rows with images cannot be packed.', {
    place: { file: sets[0]!.files[0]!.dataset.path, key: 'training.packing' },
    fix: 'Set training.packing to false.',
  });
}

/** The reader of the images of a file's chats. */
export const rowImagesOf = (
  file: string,
  { chat_images = null, family = 'this model' }: Pick<DataTools, 'chat_images' | 'family'>,
): RowImages =>
  chat_images
    ? { reader: chat_images, folder: path.dirname(file) }
    : {
        refused: `Images in chats are not supported for ${family}, only for ${VISION_MODELS.join(', ')}`,
      };

/** transformers has no reward model that reads images in chats. */
const comparedImages = ({ task }: DataRecipe, images: RowImages): RowImages =>
  task === 'reward'
    ? {
        refused:
          'Images are not supported for reward models: transformers has none that reads them',
      }
    : images;

/** Turns the rows of a dataset into examples. */
export function tokenizerFor(
  { path: file, unit }: Dataset,
  labels: LabelSet | null,
  recipe: DataRecipe,
  tools: DataTools,
): RowTokenizer {
  const { tokenizer, images, vocab_size, has_types, max_positions, start_id } = tools;
  const max_length = Math.min(recipe.training.max_length, max_positions);
  const problems = new ProblemCollector(file, { ...collectorSettings(recipe), unit });
  const form = rowFormOf(recipe);
  if (form === 'preference' || form === 'unpaired')
    return preferenceTokenizer(problems, {
      tokenizer: tokenizer!,
      max_length,
      labels: recipe.labels,
      rows: recipe,
      images: comparedImages(recipe, rowImagesOf(file, tools)),
      isReward: recipe.task === 'reward',
      ...(vocab_size !== undefined && { vocab_size }),
    });
  if (recipe.task === 'seq2seq_lm')
    return answerTokenizer(problems, {
      tokenizer: tokenizer!,
      max_length,
      start_id: start_id!,
      vocab_size,
    }) as RowTokenizer;
  if (recipe.task !== 'causal_lm')
    return taskTokenizer(problems, {
      tokenizer,
      max_length,
      labels,
      has_types,
      image_length: images?.length ?? 1,
      folder: path.dirname(file),
      pair_loss: recipe.embedding?.loss ?? null,
      ranking_loss: recipe.reranker?.loss ?? null,
      ...(vocab_size !== undefined && { vocab_size }),
    });
  return textTokenizer(problems, {
    tokenizer: tokenizer!,
    max_length,
    labels: recipe.labels,
    rows: recipe,
    images: rowImagesOf(file, tools),
    ...(vocab_size !== undefined && { vocab_size }),
  }) as RowTokenizer;
}
