import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { removeWithin } from '../../common/withoutLinks';
import type { CheckedRecipe } from '../../shared/checkedRecipe';
import type { RecipeInput } from '../../shared/recipe';
import type { Jobs } from '../jobs/jobs';

/** What a training's cost and duration depend on in its dataset. Lengths are in tokens. */
export interface DatasetFacts {
  readonly examples: number;
  readonly tokens: number;
  /** The longest row of the training and the validation set, truncated to max_length. */
  readonly longest: number;
}

/** Counting may take as long as choosing the other settings; after that an upper bound is shown. */
const TIMEOUT_MS = 60_000;

/**
 * Counts the tokens of a recipe's rows in a process of its own. Null: they cannot be counted, such
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
export function countedFacts({ datasets }: Pick<CheckedRecipe, 'datasets'>): DatasetFacts | null {
  const [train, ...others] = datasets.map(({ statistics }) => statistics);
  if (!train || train.examples === 0 || others.includes(null)) return null;
  return {
    examples: train.examples,
    tokens: train.tokens,
    longest: Math.max(train.longest, ...others.map((own) => own!.longest)),
  };
}
