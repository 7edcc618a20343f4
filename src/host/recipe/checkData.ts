import { pathsOf } from '../../shared/datasetSources';
import { stat } from 'node:fs/promises';
import type { CheckedRecipe } from '../../shared/checkedRecipe';
import { LoraError, type Problem } from '../../shared/errors';
import { checkRecipe } from '../../shared/recipeFile';
import type { Jobs } from '../jobs/jobs';
import { t } from '../text/l10n';
import { withStatus } from '../ui/progress';
import { recipeProblems } from './recipeProblems';

/** Larger datasets are read by the training alone: reading them twice takes too long. */
const MAX_DATASET_BYTES = 32 * 2 ** 20;
const TIMEOUT_MS = 20_000;

/**
 * The errors that a training run of a valid recipe would stop with before its first step: of its
 * base, its adapters and its rows. Empty when that would take too long to find out.
 *
 * @throws LoraError as `lora check` reports it.
 */
export async function checkData(
  text: string,
  file: string,
  jobs: Pick<Jobs, 'ask'>,
): Promise<readonly Problem[]> {
  const dataset = checkRecipe(text, file).recipe?.dataset;
  if (dataset === undefined || (await sizeOf(pathsOf(dataset))) > MAX_DATASET_BYTES) return [];
  try {
    const { problems, datasets } = await withStatus(t('Checking the recipe…'), () =>
      jobs.ask<CheckedRecipe>(['check', file], AbortSignal.timeout(TIMEOUT_MS)),
    );
    return [
      ...recipeProblems(problems, text, file),
      ...datasets.flatMap((own) => own.problems),
    ].filter(({ severity }) => severity === 'error');
  } catch (error) {
    if (error instanceof LoraError && error.area === 'cancelled') return [];
    throw error;
  }
}

/** The bytes of files together; Infinity where one is not on this machine, or no file. */
async function sizeOf(files: readonly string[]): Promise<number> {
  const sizes = files.map((file) =>
    stat(file).then(
      (info) => (info.isFile() || info.isDirectory() ? info.size : Infinity),
      () => Infinity,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
