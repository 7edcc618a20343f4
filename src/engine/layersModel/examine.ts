import path from 'node:path';
import { checkTopology } from '../../formats/layersModel/classes';
import { openLayersModel } from '../../formats/layersModel/file';
import { refuseWithoutGradient } from '../../formats/layersModel/gradients';
import { manifestKernels } from '../../formats/layersModel/kernels';
import { checkLayersShards } from '../../formats/layersModel/weights';
import type { Adapter } from '../../lora/adapter';
import type { CheckedDataset, CheckedRecipe } from '../../shared/checkedRecipe';
import { pathsOf } from '../../shared/datasetSources';
import { LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { sourceRecord } from '../training/dataFacts';
import { estimateLayersMemory } from './memory';
import { adaptedLayers, planLayersAdapter } from './plan';
import { openLayersSources } from './train';

type Examined = Pick<
  CheckedRecipe,
  'base' | 'limit' | 'datasets' | 'sources' | 'problems' | 'layers_memory'
>;

interface ExamineHooks {
  /** From 0 to 1. What it throws ends the check. */
  readonly report: (fraction: number) => void;
  /** Gets what a training run would refuse or warn of. */
  readonly problems: Problem[];
  readonly warn: (message: string, key?: string) => void;
  /** Adds an error to the problems. @throws one of the dataset */
  readonly refuse: (error: unknown) => Promise<void>;
}

/** What `lora check` says of a recipe for a layers model, without loading tfjs. */
export async function examineLayers(
  recipe: Recipe,
  file: string,
  { report, problems, warn, refuse }: ExamineHooks,
): Promise<Examined> {
  const limit = recipe.training.max_length;
  try {
    const opened = await openLayersModel(recipe.base);
    checkTopology(opened);
    await checkLayersShards(opened);
    const raw = { base: opened.path, raw: {} };
    const hooks = { info: () => undefined, warn };
    const kernels = manifestKernels(opened);
    const adapter = planLayersAdapter(recipe, kernels, raw, hooks);
    refuseWithoutGradient(opened, adaptedLayers(adapter, kernels));
    const { data, input } = await openLayersSources(recipe, path.dirname(file), { onData: report });
    data.close();
    const { statistics, sources, warnings, skipped, labels } = data;
    const [first] = pathsOf(recipe.dataset);
    const own = { warnings: [...warnings, ...skipped.problems], skipped: skipped.rows };
    const datasets = [checkedDataset(first!, own, statistics.train)];
    const records = sources.map(sourceRecord);
    const layers_memory = estimateLayersMemory(
      opened,
      input.shape,
      { ...trainedOf(adapter), labels: labels.names.length },
      recipe.training.per_device_train_batch_size,
    );
    return { base: opened.name, limit, datasets, sources: records, problems, layers_memory };
  } catch (error) {
    if (error instanceof LoraError && error.area === 'dataset')
      return { base: null, limit, datasets: [faultyDataset(recipe, error)], sources: [], problems };
    await refuse(error);
    return { base: null, limit, datasets: [], sources: [], problems };
  }
}

const trainedOf = ({ modules }: Adapter) => ({
  numbers: modules.reduce((sum, { A, B }) => sum + A.length + B.length, 0),
  adapted: modules.reduce((sum, own) => sum + own.in_features * own.out_features, 0),
});

function faultyDataset(recipe: Recipe, error: LoraError): CheckedDataset {
  const { message, place, fix } = error;
  const text = fix === undefined ? message : `${message} ${fix}`;
  const own: Problem = { severity: 'error', message: text, ...(place && { place }) };
  const warnings = error.problems.length > 0 ? error.problems : [own];
  return checkedDataset(pathsOf(recipe.dataset)[0]!, { warnings, skipped: 0 }, null);
}

const checkedDataset = (
  file: string,
  { warnings, skipped }: { readonly warnings: readonly Problem[]; readonly skipped: number },
  statistics: CheckedDataset['statistics'],
): CheckedDataset => ({
  path: file,
  problems: warnings,
  skipped_rows: skipped,
  excluded_rows: 0,
  cut: [],
  duplicates: [],
  duplicate_rows: 0,
  statistics,
  lengths: [],
});
