import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { removeWithin } from '../../common/withoutLinks';
import { trainedOn, type CheckedRecipe } from '../../shared/checkedRecipe';
import { joinedImages, type ImageCounts } from '../../shared/imageCounts';
import type { RecipeInput } from '../../shared/recipe';
import type { Jobs } from '../jobs/jobs';

/** What a training run's cost and duration depend on in its dataset. Lengths are in tokens. */
export interface DatasetFacts {
  readonly examples: number;
  readonly tokens: number;
  /** The longest row of the training and the validation set, truncated to max_length. */
  readonly longest: number;
  /** The most sequences that the model reads for a row. */
  readonly sequences: number;
  /** Those of the training and the validation set. Not given: there are none. */
  readonly images?: ImageCounts;
}

/** Counting may take as long as choosing the other settings; after that an upper bound is shown. */
const TIMEOUT_MS = 60_000;

/**
 * Counts the tokens of a recipe's rows in a separate process. Null: they cannot be counted, such
 * as rows with errors, or not in time.
 *
 * @param recipe With absolute paths.
 */
export async function readDatasetFacts(
  jobs: Pick<Jobs, 'ask'>,
  recipe: RecipeInput,
): Promise<DatasetFacts | null> {
  let folder: string | undefined;
  try {
    folder = await mkdtemp(path.join(tmpdir(), 'lora-facts-'));
    const file = path.join(folder, 'lora.json');
    await writeFile(file, JSON.stringify(recipe));
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    return countedFacts(await jobs.ask<CheckedRecipe>(['check', file], signal));
  } catch {
    return null;
  } finally {
    if (folder !== undefined) await removeWithin(folder);
  }
}

/** Null unless the rows of every dataset were counted. */
export function countedFacts({
  datasets,
  sources = [],
}: Pick<CheckedRecipe, 'datasets' | 'sources'>): DatasetFacts | null {
  const all = datasets.flatMap(({ statistics }) => statistics ?? []);
  const trained = trainedOn(datasets).flatMap(({ statistics }) => statistics ?? []);
  const examples = sumOf(trained, ({ examples: own }) => own);
  if (examples === 0 || all.length < datasets.length) return null;
  const images = joinedImages(all);
  const mixed = sources.filter((source) => source.examples > 0);
  return {
    examples: mixed.length > 0 ? sumOf(mixed, ({ drawn }) => drawn) : examples,
    tokens: Math.round(
      mixed.length > 0
        ? sumOf(mixed, (own) => (own.tokens * own.drawn) / own.examples)
        : sumOf(trained, ({ tokens }) => tokens),
    ),
    longest: Math.max(...all.map(({ longest }) => longest)),
    sequences: Math.max(...all.map(({ sequences }) => sequences)),
    ...(images && { images }),
  };
}

const sumOf = <T>(items: readonly T[], numberOf: (item: T) => number): number =>
  items.reduce((sum, item) => sum + numberOf(item), 0);
