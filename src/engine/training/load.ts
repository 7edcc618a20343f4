import { readPeftAdapter } from '../../formats/peft/read';
import type { Adapter } from '../../lora/adapter';
import { loadModel, type LoadOptions } from '../../models/loadModel';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { restoreOptimizer } from './checkpoint';
import { problemOptionsOf } from '../model/backend';
import { withCheckpointWeights } from './products/modelProduct';
import type { PreparedTraining } from './prepare';

/**
 * The model as a training begins with it, or goes on with it from a checkpoint's folder. Errors:
 * LoraError.
 */
export async function loadForTraining(
  prepared: PreparedTraining,
  { lora, training: { method } }: Recipe,
  checkpoint: string | null,
  options: Pick<LoadOptions, 'ops' | 'onProgress'>,
): Promise<Model> {
  const { base, adapter, frozen, baseCorrection, step_plan, data } = prepared;
  const loading: LoadOptions = {
    ...options,
    ...step_plan,
    method,
    lora_dropout: lora.lora_dropout,
    below: [...frozen, ...(baseCorrection ? [baseCorrection] : [])],
    ...problemOptionsOf(data.labels),
  };
  if (checkpoint === null) return loadModel(base, adapter, loading);
  const model =
    method === 'full'
      ? await withCheckpointWeights(base, checkpoint, (at) => loadModel(at, adapter, loading))
      : await loadModel(
          base,
          inOrderOf(adapter, (await readPeftAdapter(checkpoint)).adapter),
          loading,
        );
  await restoreOptimizer(checkpoint, model);
  return model;
}

/**
 * The modules of a checkpoint in the order in which the run began: the optimizer's state and each
 * module's dropout go by it, a file goes by names.
 */
function inOrderOf(start: Adapter, { config, modules, trained }: Adapter): Adapter {
  const byPath = new Map(modules.map((m) => [m.path, m]));
  const byName = new Map(trained.map((t) => [t.name, t]));
  return {
    config,
    trained: start.trained.map((t) => byName.get(t.name) ?? t),
    modules: start.modules.map((m) => {
      const module = byPath.get(m.path);
      if (!module)
        throw new LoraError('run', `The checkpoint lacks the module ${m.path}.`, {
          fix: 'Start a new run.',
        });
      return module;
    }),
  };
}
