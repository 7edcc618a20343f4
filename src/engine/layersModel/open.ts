import type { LabelSet } from '../../data/tasks/labelSet';
import { openLayersModel, type LayersModelFile } from '../../formats/layersModel/file';
import { readLayersWeights } from '../../formats/layersModel/weights';
import { readAdapterLabels } from '../../formats/peft/task';
import type { Adapter } from '../../lora/adapter';
import { PLAIN_LORA } from '../../lora/newAdapter';
import { loadLayers } from '../../runtime/loadTfjs';
import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';
import { suits } from './head';
import { useRuntime, type RuntimeContext } from '../useRuntime';
import { adaptLayers, headOfAdapter, lossOf, openLayers, reopenWithHead } from './adapted';
import { readLayersConfig, type LayersConfig } from './adapterConfig';
import { inputOf, type LayersInput } from './inputs';
import type { LayersTraining } from './layersTraining';
import { readLayersAdapter } from './train';

/** What layers models are trained for. */
type LayersTask = NonNullable<LayersConfig['task']>;

/** A model that is opened without training it. */
export interface LayersPaths {
  readonly base: string;
  /** At most one. */
  readonly adapters: readonly string[];
}

/** A model whose weights have not been read. */
export interface FoundLayers {
  readonly file: LayersModelFile;
  readonly input: LayersInput;
  readonly task: LayersTask;
  readonly adapter: Adapter;
  /** Of the adapter; null: not known. */
  readonly labels: LabelSet | null;
  /** For messages. */
  readonly adapter_file: string;
}

/**
 * Opens a model.json and an adapter, without weights of the model.
 *
 * @param guess The task where there is no adapter that says it.
 * @throws LoraError
 */
export async function findLayers(
  { base, adapters }: LayersPaths,
  guess: LayersTask,
): Promise<FoundLayers> {
  const [folder, ...others] = adapters;
  if (others.length > 0)
    throw new LoraError('usage', 'A layers model takes one adapter.', {
      fix: 'Merge the others into the model first (lora merge).',
    });
  const adapter = folder === undefined ? NO_ADAPTER : await readLayersAdapter(folder);
  const config = folder === undefined ? null : readLayersConfig(adapter, folder);
  const labels = folder === undefined ? null : await readAdapterLabels(folder);
  const file = await openLayersModel(base);
  const task = config?.task ?? guess;
  const input = await inputOf(file, task === 'image_cls', config?.pixel_range ?? null);
  return { file, input, task, adapter, labels, adapter_file: folder ?? base };
}

/**
 * Loads a model that gives outputs for labels. The caller disposes of it.
 *
 * @throws LoraError
 */
export async function loadLayersFor(
  { file, input, adapter, adapter_file }: FoundLayers,
  labels: LabelSet,
  context: RuntimeContext,
): Promise<LayersTraining> {
  const weights = await readLayersWeights(file);
  const tf = await loadLayers(await useRuntime(context), context.dist);
  const opened = await openLayers(tf, { file, weights });
  const loss = lossOf(labels);
  const head = headOfAdapter(adapter, loss, adapter_file);
  const loaded = head ? await reopenWithHead(tf, opened, head) : opened;
  const { output, outputs } = loaded;
  const width = labels.names.length;
  if (!suits(loss, output, { outputs, width }))
    throw new LoraError(
      'dataset',
      `The rows have ${countOf(width, 'label')} (${labels.problem_type}), but the model has ${countOf(outputs, 'output')} (${output.activation}).`,
      {
        place: { file: file.path },
        fix: 'Use rows with the labels of the model, or an adapter that was trained on these.',
      },
    );
  return adaptLayers(tf, loaded, {
    adapter,
    hasHead: head !== null,
    labels,
    input_shape: input.shape,
    label_smoothing: 0,
    adapter_file,
  });
}

/** The model as it is. */
export const NO_ADAPTER: Adapter = {
  config: { ...PLAIN_LORA, target_modules: [], base_model_name_or_path: null, raw: {} },
  modules: [],
  trained: [],
};
