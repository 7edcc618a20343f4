import type { BaseModel } from '../../formats/baseModel';
import { adapterBaseOf } from '../../formats/peft/againstBase';
import { readPeftAdapter } from '../../formats/peft/read';
import type { Adapter } from '../../lora/adapter';
import { loadModel, type LoadOptions } from '../../models/loadModel';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { restoreOptimizer } from './checkpoint';
import { lossOptionsOf } from '../model/labels';
import { withCheckpointWeights } from './products/modelProduct';
import type { PreparedTraining } from './prepare';

/** What a run's model is loaded from. */
type TrainedModelParts = Pick<
  PreparedTraining,
  'base' | 'adapter' | 'frozen' | 'baseCorrection' | 'step_plan'
> & { readonly data: Pick<PreparedTraining['data'], 'labels' | 'has_images'> };

/**
 * Loads the model that a training run starts with, or continues with from a checkpoint's folder.
 * The caller disposes of it.
 *
 * @throws LoraError
 */
export async function loadForTraining(
  prepared: TrainedModelParts,
  { lora, embedding, reranker, training: { method, ...training } }: Recipe,
  checkpoint: string | null,
  options: Pick<LoadOptions, 'ops' | 'onProgress'>,
): Promise<Model> {
  const { base, adapter, frozen, baseCorrection, step_plan, data } = prepared;
  const loading: LoadOptions = {
    ...options,
    ...step_plan,
    method,
    lora_dropout: lora.lora_dropout,
    embedding,
    reranker,
    label_smoothing: training.label_smoothing_factor,
    neftune_noise_alpha: training.neftune_noise_alpha,
    below: [...frozen, ...(baseCorrection ? [baseCorrection] : [])],
    ...lossOptionsOf(data.labels),
  };
  const load = (opened: BaseModel, start: Adapter) =>
    loadModel(opened, start, loading).then(async (model) => {
      if (data.has_images) await model.loadImages();
      return model;
    });
  if (checkpoint === null) return load(base, adapter);
  const model =
    method === 'full'
      ? await withCheckpointWeights(base, checkpoint, (saved) => load(saved, adapter))
      : await load(base, await readCheckpointAdapter(checkpoint, base, adapter));
  await restoreOptimizer(checkpoint, model);
  return model;
}

async function readCheckpointAdapter(
  checkpoint: string,
  base: BaseModel,
  start: Adapter,
): Promise<Adapter> {
  const { adapter } = await readPeftAdapter(checkpoint, adapterBaseOf(base));
  return inOrderOf(start, adapter);
}

/**
 * The modules of a checkpoint in the order that the run started with: the optimizer's state and the
 * modules' dropout depend on it, while the file is sorted by name.
 */
export function inOrderOf(start: Adapter, { config, modules, trained }: Adapter): Adapter {
  const byPath = new Map(modules.map((m) => [m.path, m]));
  const byName = new Map(trained.map((t) => [t.name, t]));
  return {
    config,
    trained: start.trained.map((t) => byName.get(t.name) ?? t),
    modules: start.modules.map((m) => {
      const module = byPath.get(m.path);
      if (!module)
        throw new LoraError('run', `The module ${m.path} is missing in the checkpoint.`, {
          fix: 'Start a new run.',
        });
      return module;
    }),
  };
}
