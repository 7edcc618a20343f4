import { collateInputs } from '../../data/examples/batch';
import type { Example, FeaturesExample, ImageExample } from '../../data/examples/example';
import { examplesOf, selectExamples, type Examples } from '../../data/examples/examples';
import { splitExamples } from '../../data/examples/split';
import { collectorSettings } from '../../data/dataset/dataset';
import { prepareData, readData, type PreparedData } from '../../data/dataset/prepare';
import { throwErrors } from '../../data/dataset/problems';
import type { DataStatistics } from '../../data/examples/tokenizeRows';
import { readImagesOf } from '../../data/images/readRows';
import type { FeatureFile } from '../../data/features/featureFile';
import { readFeatures } from '../../data/features/readFeatures';
import { labelSetOf, targetOf, type LabelSet } from '../../data/tasks/labelSet';
import { sourcesOf } from '../../shared/datasetSources';
import { LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { readImageInput, type LayersInput } from './inputs';

/** The rows of a layers model. */
export type LayersData = Pick<
  PreparedData,
  | 'train'
  | 'trainIn'
  | 'validation'
  | 'sources'
  | 'statistics'
  | 'collate'
  | 'image_length'
  | 'warnings'
  | 'skipped'
  | 'excluded'
  | 'fingerprint'
  | 'close'
> & { readonly labels: LabelSet };

export interface LayersDataOptions {
  readonly input: LayersInput;
  /** Labels that the outputs have already; null: those of the rows. */
  readonly known: LabelSet | null;
  /** Folder for temporary files. */
  readonly scratch_folder: string;
  /** From 0 to 1. What it throws ends the reading. */
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Reads the rows of a recipe: folders of images, or rows of numbers.
 *
 * @throws LoraError('dataset')
 */
export const readLayersData = (recipe: Recipe, options: LayersDataOptions): Promise<LayersData> =>
  options.input.image ? imageData(recipe, options) : featureData(recipe, options);

async function imageData(
  recipe: Recipe,
  { input, known, scratch_folder, onProgress }: LayersDataOptions,
): Promise<LayersData> {
  const read = await readData(recipe, known?.names ?? null, { onProgress });
  const data = await prepareData(known ? { ...read, labels: known } : read, recipe, {
    tokenizer: null,
    images: null,
    has_types: false,
    max_positions: Infinity,
    scratch_folder,
  });
  const collate = async (examples: readonly Example[]) => {
    const own = examples as readonly ImageExample[];
    const rows = await readImagesOf(own, (file) => readImageInput(file, input.image!));
    return collateInputs(own, rows);
  };
  return { ...data, labels: data.labels!, collate };
}

async function featureData(
  recipe: Recipe,
  { input, known, onProgress }: LayersDataOptions,
): Promise<LayersData> {
  const width = input.shape.reduce((a, b) => a * b, 1);
  const [source, ...others] = sourcesOf(recipe.dataset, recipe.columns);
  if (!source || others.length > 0 || source.weight !== 1 || source.rows !== null)
    throw new LoraError('recipe', 'Rows of numbers come from one file, without weight and rows.', {
      place: { file: recipe.base, key: 'dataset' },
      fix: 'Name one file.',
    });
  const { columns: names } = source;
  const settings = {
    label: names.label ?? names.labels ?? 'label',
    width,
    columns: null,
    collector: collectorSettings(recipe),
  };
  const train = await readFeatures(source.path, settings);
  onProgress?.(0.5);
  const held =
    recipe.validation === null
      ? null
      : await readFeatures(recipe.validation, { ...settings, columns: train.columns });
  onProgress?.(1);
  return assemble(recipe, [train, ...(held ? [held] : [])], known);
}

/** A file with its rows as examples. */
interface FeatureSet {
  readonly file: FeatureFile;
  readonly examples: readonly FeaturesExample[];
  readonly problems: readonly Problem[];
}

function assemble(
  recipe: Recipe,
  files: readonly FeatureFile[],
  known: LabelSet | null,
): LayersData {
  const labels = known ?? labelsIn(recipe, files);
  const sets = files.map((file): FeatureSet => {
    const examples = labels ? examplesIn(file, labels) : [];
    return { file, examples, problems: file.problems.problems() };
  });
  throwErrors(sets.flatMap(({ problems }) => problems));
  const [first, held] = sets;
  const empty = sets.find(({ examples }) => examples.length === 0);
  if (!labels || !first || empty)
    throw new LoraError('dataset', 'No row of the dataset is left.', {
      place: { file: (empty ?? first)?.file.path ?? recipe.base },
    });
  const { train, validation } = partsOf(first, held, recipe);
  const statistics = {
    train: statisticsOf(train.length),
    validation: statisticsOf(validation.length),
  };
  const source = {
    name: first.file.path,
    revision: null,
    weight: 1,
    statistics: statistics.train,
    drawn: train.length,
    share: 1,
    validation: held ? null : validation,
  };
  return {
    train,
    trainIn: () => train,
    validation,
    sources: [source],
    statistics,
    labels,
    collate: collateFeatures,
    image_length: 1,
    ...reportsOf(sets),
    excluded: [],
    close: () => undefined,
  };
}

function partsOf(
  { examples }: FeatureSet,
  held: FeatureSet | undefined,
  { validation_split, training }: Recipe,
): { readonly train: Examples; readonly validation: Examples } {
  const all = examplesOf(examples);
  if (held) return { train: all, validation: examplesOf(held.examples) };
  const drawn = splitExamples(Int32Array.from(examples.keys()), validation_split, training.seed);
  return {
    train: selectExamples(all, drawn.train),
    validation: selectExamples(all, drawn.validation),
  };
}

const collateFeatures: LayersData['collate'] = (examples) => {
  const rows = examples as readonly FeaturesExample[];
  const values = rows.map((row) => row.values);
  return Promise.resolve(collateInputs(rows, values));
};

function reportsOf(
  sets: readonly FeatureSet[],
): Pick<LayersData, 'warnings' | 'skipped' | 'fingerprint'> {
  const all = sets.flatMap(({ problems }) => problems);
  return {
    warnings: all.filter(({ skipped }) => skipped !== true),
    skipped: {
      rows: sets.reduce((sum, { file }) => sum + file.problems.skippedRows, 0),
      problems: all.filter(({ skipped }) => skipped === true),
    },
    fingerprint: sets.flatMap(({ file: { fingerprints } }) => fingerprints),
  };
}

/** Null where they do not fit together, which is reported. */
function labelsIn(
  { task, problem_type, skip_faulty_rows: skip }: Recipe,
  files: readonly FeatureFile[],
): LabelSet | null {
  const items = files.flatMap(({ rows, problems }) =>
    rows.map(({ line, label }) => ({ line, label, problems })),
  );
  return labelSetOf(items, { task, problem_type, known: null, skip });
}

function examplesIn({ rows, problems }: FeatureFile, labels: LabelSet): FeaturesExample[] {
  return rows.flatMap(({ line, values, label }) => {
    try {
      return [{ kind: 'features', line, values, target: targetOf(label, labels) }];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problems.error(error.message, line, 'label');
      return [];
    }
  });
}

const statisticsOf = (examples: number): DataStatistics => ({
  examples,
  tokens: examples,
  labelled_tokens: examples,
  longest: 1,
  truncated: 0,
  sequences: 1,
});
