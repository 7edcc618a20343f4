import path from 'node:path';
import { openLayersModel, type LayersModelFile } from '../../formats/layersModel/file';
import {
  manifestMatrices,
  topologyLayers,
  type TopologyLayer,
} from '../../formats/layersModel/modules';
import type { CheckedDataset, CheckedRecipe } from '../../shared/checkedRecipe';
import { pathsOf } from '../../shared/datasetSources';
import { LoraError, type Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { isObject } from '../../shared/values';
import { sourceRecord } from '../training/dataFacts';
import { ADAPTED_LAYERS } from '../../tfjs/kernels';
import { planLayersAdapter, type PlannedKernel } from './plan';
import { openLayersSources } from './train';

type Examined = Pick<CheckedRecipe, 'base' | 'limit' | 'datasets' | 'sources' | 'problems'>;

interface ExamineHooks {
  /** From 0 to 1. What it throws ends the check. */
  readonly report: (fraction: number) => void;
  /** Gets what a training would refuse or warn of. */
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
    const raw = { base: opened.path, raw: {} };
    planLayersAdapter(recipe, manifestKernels(opened), raw, { info: () => undefined, warn });
    const { data } = await openLayersSources(recipe, path.dirname(file), { onData: report });
    data.close();
    const { statistics, sources, warnings, skipped } = data;
    const [first] = pathsOf(recipe.dataset);
    const own = { warnings: [...warnings, ...skipped.problems], skipped: skipped.rows };
    const datasets = [checkedDataset(first!, own, statistics.train)];
    const records = sources.map(sourceRecord);
    return { base: opened.name, limit, datasets, sources: records, problems };
  } catch (error) {
    if (error instanceof LoraError && error.area === 'dataset')
      return { base: null, limit, datasets: [faultyDataset(recipe, error)], sources: [], problems };
    await refuse(error);
    return { base: null, limit, datasets: [], sources: [], problems };
  }
}

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

/** Classes of layers whose kernels are those of a cell. */
const RECURRENT = /^(?:SimpleRNN|GRU|LSTM)$/;

/** Of a layer that wraps another (TimeDistributed, Bidirectional), the class of that one. */
const classOf = ({ class_name, config: { layer } }: TopologyLayer): string =>
  isObject(layer) && typeof layer['class_name'] === 'string' ? layer['class_name'] : class_name;

/** The kernels that LoRA can adapt, by the manifest and the topology of a model. */
export function manifestKernels(file: LayersModelFile): PlannedKernel[] {
  const classes = new Map(topologyLayers(file).map((own) => [own.name, classOf(own)]));
  return manifestMatrices(file).flatMap(({ path: own, weight, ...sizes }) => {
    const names = weight.name.split('/').slice(0, -1);
    const layer = names.findLast((name) => classes.has(name)) ?? names.at(-1) ?? '';
    const found = classes.get(layer) ?? '';
    const className = RECURRENT.test(found) ? `${found}Cell` : found;
    const kind = sizes.kind === 'embedding' ? 'embedding' : 'linear';
    return ADAPTED_LAYERS.includes(className)
      ? [{ ...sizes, kind, path: own, layer, className } as const]
      : [];
  });
}
