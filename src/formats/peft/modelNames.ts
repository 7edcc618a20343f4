import { targetOf, withWholePaths } from '../../lora/wholePaths';
import type { Adapter } from '../../lora/adapter';
import { nameInModel } from '../architecture/modelName';
import type { Spec } from '../architecture/spec';

/**
 * The adapter with the names that its modules have in the whole model, when its base is the
 * language model of a vision-language model: PEFT looks for `model.language_model.layers`, not
 * for `model.layers`. The modules are then named by whole paths, since the other towers have layers
 * of the same names.
 */
export function withModelNames(
  adapter: Adapter,
  spec: Pick<Spec, 'language_model' | 'vision'>,
): Adapter {
  if (spec.language_model === undefined) return adapter;
  const rename = (name: string) => nameInModel(name, spec);
  const modules = adapter.modules.map((m) => ({ ...m, path: rename(m.path) }));
  const { config } = adapter;
  return {
    ...adapter,
    config: {
      ...withWholePaths(
        config,
        modules.map((m) => targetOf(m, config.use_rslora)),
      ),
      modules_to_save: config.modules_to_save?.map(rename) ?? null,
    },
    modules,
    trained: adapter.trained.map((tensor) => ({ ...tensor, name: rename(tensor.name) })),
  };
}
