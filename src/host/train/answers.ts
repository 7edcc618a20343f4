import path from 'node:path';
import { methodOfKeys } from '../../shared/objective';
import { parseRecipe } from '../../shared/recipeFile';
import { readDatasetFacts } from '../setup/datasetFacts';
import { batchOf } from '../setup/forecast';
import type { NamedDataset } from '../setup/recipeSources';
import type { ChosenDataset, Priced, TrainState } from '../setup/trainState';
import { recipeText } from '../setup/writeRecipe';
import type { Jobs } from '../jobs/jobs';
import { recipeFolder } from './fileStep';

/** The recipe of answers to which base and dataset belong. `folder`: where it will be. */
export const recipeTextOf = (
  { base, dataset, columns, replay, r, target_modules, kept }: TrainState,
  folder: string,
): string =>
  recipeText(
    {
      task: dataset!.task,
      method: methodOfKeys(dataset!.keys),
      base: base!.path,
      dataset: namedDataset(dataset!),
      columns,
      replay,
      validation: dataset!.validation,
      r,
      target_modules,
      kept: kept ?? 'auto',
    },
    folder,
  );

/** How a recipe names a dataset. */
export const namedDataset = ({ path: file, hub }: ChosenDataset): NamedDataset => ({
  path: file,
  hub: hub && { config: hub.config, split: hub.split },
});

/** Counts the rows of the dataset, while the user answers the other questions. */
export async function price(jobs: Pick<Jobs, 'ask'>, state: TrainState): Promise<Priced> {
  const folder = recipeFolder(state.dataset!.path);
  const recipe = parseRecipe(recipeTextOf(state, folder), path.join(folder, 'lora.json'));
  const facts = await readDatasetFacts(jobs, recipe);
  return { facts, base: { ...state.base!, batch: batchOf(state.base!, recipe, facts) } };
}
