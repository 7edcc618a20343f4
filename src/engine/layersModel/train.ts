import { openLayersModel, type LayersModelFile } from '../../formats/layersModel/file';
import { refuseWithoutGradient } from '../../formats/layersModel/gradients';
import { elementsOf, readLayersWeights } from '../../formats/layersModel/weights';
import { readPeftAdapter } from '../../formats/peft/read';
import { readAdapterLabels } from '../../formats/peft/task';
import type { Adapter } from '../../lora/adapter';
import { loadLayers } from '../../runtime/loadTfjs';
import type { Runtime } from '../../runtime/runtime';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { UNRECORDED_STEP_PLAN } from '../../shared/run';
import { countOf } from '../../shared/values';
import { kernelsOf } from '../../tfjs/kernels';
import type { Tf } from '../../tfjs/tf';
import { checkpointFolder, restoreOptimizer } from '../training/checkpoint';
import { dataFactsOf } from '../training/dataFacts';
import { inOrderOf } from '../training/load';
import type { RunFacts, TrainJob } from '../training/messages';
import {
  adaptLayers,
  headOfAdapter,
  headPath,
  lossOf,
  openLayers,
  reopenWithHead,
  type OpenLayers,
} from './adapted';
import { layersConfig, readLayersConfig } from './adapterConfig';
import { readLayersData, type LayersData } from './data';
import { newHead, suits, type NewHead } from './head';
import { inputOf, type LayersInput } from './inputs';
import type { LayersTraining } from './layersTraining';
import { adaptedLayers, planLayersAdapter } from './plan';
import { LayersProduct } from './product';
import { refuseUnsupported } from './settings';

/** Receives the progress while a training run is prepared. */
export interface LayersHooks {
  readonly info: (message: string) => void;
  /** `key`: that of the recipe which the warning is about. */
  readonly warn: (message: string, key?: string) => void;
  /** From 0 to 1. What it throws ends the preparation. */
  readonly onData: (fraction: number) => void;
}

/** The rows and the base of a recipe, without its weights. */
export interface LayersSources {
  readonly file: LayersModelFile;
  readonly input: LayersInput;
  readonly data: LayersData;
}

/** A training run of a layers model that can begin. */
export interface PreparedLayers {
  readonly data: LayersData;
  readonly model: LayersTraining;
  readonly product: LayersProduct;
  readonly facts: Omit<RunFacts, 'total_steps'>;
}

/**
 * Opens the model.json and the rows of a recipe. The caller closes the data.
 *
 * @throws LoraError
 */
export async function openLayersSources(
  recipe: Recipe,
  scratch_folder: string,
  { onData }: Pick<LayersHooks, 'onData'>,
): Promise<LayersSources> {
  refuseUnsupported(recipe);
  const file = await openLayersModel(recipe.base);
  const input = await inputOf(file, recipe.task === 'image_cls', recipe.pixel_range);
  const { init_adapter } = recipe.lora;
  const known = init_adapter === null ? null : await readAdapterLabels(init_adapter);
  const data = await readLayersData(recipe, { input, known, scratch_folder, onProgress: onData });
  return { file, input, data };
}

/**
 * Loads what `openLayersSources` has opened. The caller disposes of the model.
 *
 * @throws LoraError
 */
export async function prepareLayers(
  job: TrainJob,
  { file, input, data }: LayersSources,
  hooks: LayersHooks,
): Promise<PreparedLayers> {
  const { recipe } = job;
  const parts = { file, weights: await readLayersWeights(file) };
  const tf: Tf = await loadLayers(job.runtime, job.dist);
  const opened = await openLayers(tf, parts);
  const checkpoint =
    job.resume_from === null ? null : checkpointFolder(job.run_dir, job.resume_from);
  const { loaded, adapter, hasHead } = await startOf(tf, opened, {
    recipe,
    input,
    data,
    checkpoint,
    hooks,
  });
  refuseWithoutGradient(file, adaptedLayers(adapter, kernelsOf(loaded.model)));
  const model = adaptLayers(tf, loaded, {
    adapter,
    hasHead,
    labels: data.labels,
    input_shape: input.shape,
    label_smoothing: recipe.training.label_smoothing_factor,
    adapter_file: checkpoint ?? recipe.lora.init_adapter ?? file.path,
  });
  if (checkpoint !== null) await restoreOptimizer(checkpoint, model);
  const product = new LayersProduct(model, {
    labels: data.labels,
    base: file.name,
    learning_rate: recipe.training.learning_rate,
    examples: data.train.length,
  });
  const parameters = [...parts.weights.values()].reduce(
    (sum, own) => sum + elementsOf(own.weight),
    0,
  );
  const facts = {
    base: { name: file.name, architecture: 'tfjs-layers', parameters },
    weight_files: [file.path, ...file.groups.flatMap(({ shards }) => shards)],
    data: dataFactsOf(data),
    step_plan: UNRECORDED_STEP_PLAN,
    trainable_parameters: model.trainable_parameters,
    device: deviceOf(job.runtime),
  };
  return { data, model, product, facts };
}

interface StartOptions {
  readonly recipe: Recipe;
  readonly input: LayersInput;
  readonly data: LayersData;
  /** The folder to continue from; null: the start. */
  readonly checkpoint: string | null;
  readonly hooks: LayersHooks;
}

interface Start {
  readonly loaded: OpenLayers;
  readonly adapter: Adapter;
  readonly hasHead: boolean;
}

/**
 * The adapter that a training run begins or continues with, and the model with its output layer.
 */
async function startOf(tf: Tf, opened: OpenLayers, options: StartOptions): Promise<Start> {
  const { recipe, checkpoint } = options;
  const { init_adapter } = recipe.lora;
  const continued = checkpoint ?? init_adapter;
  const saved = continued === null ? null : await readLayersAdapter(continued);
  const head = saved
    ? headOfAdapter(saved, lossOf(options.data.labels), continued!)
    : headFor(opened, options);
  const loaded = head ? await reopenWithHead(tf, opened, head) : opened;
  const hasHead = head !== null;
  if (saved && (checkpoint === null || init_adapter !== null))
    return { loaded, adapter: saved, hasHead };
  const adapter = planned(loaded, hasHead, options);
  // the optimizer's state is in the order that the run started with
  return { loaded, hasHead, adapter: saved ? inOrderOf(adapter, saved) : adapter };
}

/** A new output layer where that of the model does not fit the labels; null: it fits. */
function headFor(
  { output, outputs, parts: { file } }: OpenLayers,
  { recipe, data: { labels }, hooks }: StartOptions,
): NewHead | null {
  const [loss, width] = [lossOf(labels), labels.names.length];
  if (suits(loss, output, { outputs, width })) return null;
  const head = newHead(output, { loss, width, seed: recipe.training.seed, file: file.path });
  hooks.info(
    `The output layer ${head.layer} (${countOf(outputs, 'output')}, ${output.activation}) is replaced by a new one (${width}, ${head.activation}), which is trained in full and saved with the adapter.`,
  );
  return head;
}

function planned(
  { model, output, parts }: OpenLayers,
  hasHead: boolean,
  { recipe, input, hooks }: StartOptions,
): Adapter {
  const dense = hasHead ? output.dense : null;
  const kernels = kernelsOf(model).filter(({ variable }) => variable !== dense?.kernel);
  const raw = layersConfig(taskOf(recipe), input.image?.range ?? null);
  const adapter = planLayersAdapter(recipe, kernels, { base: parts.file.path, raw }, hooks);
  if (!dense) return adapter;
  const modules_to_save = [headPath({ layer: dense.name })];
  return { ...adapter, config: { ...adapter.config, modules_to_save } };
}

/** Reads an adapter of a layers model. @throws LoraError('adapter') */
export async function readLayersAdapter(folder: string): Promise<Adapter> {
  const { adapter, warnings } = await readPeftAdapter(folder);
  readLayersConfig(adapter, folder);
  const unused = warnings.find(({ place }) => place?.tensor !== undefined);
  if (unused)
    throw new LoraError('adapter', unused.message, {
      ...(unused.place && { place: unused.place }),
      fix: 'Copy the adapter again, all of its files.',
    });
  return adapter;
}

const taskOf = ({ task }: Recipe): 'image_cls' | 'features' =>
  task === 'image_cls' ? task : 'features';

const deviceOf = (runtime: Runtime): string =>
  runtime.kind === 'tensorflow' ? `libtensorflow on ${runtime.device.toUpperCase()}` : 'JavaScript';
