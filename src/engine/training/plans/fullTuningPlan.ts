import { namedTensors } from '../../../formats/architecture/modules';
import { withReplaced } from '../../../formats/replaced';
import type { BaseModel, ReplacedTensor } from '../../../formats/baseModel';
import { LoraError } from '../../../shared/errors';
import type { Recipe } from '../../../shared/recipe';
import type { AdapterPlan } from './adapterPlan';
import { EMPTY_ADAPTER } from '../../model/backend';
import { initialHeadTensor } from '../startAdapter';

/**
 * Every weight is going to train, and no adapter. Errors: LoraError('recipe') where the recipe asks
 * for adapters all the same.
 */
export function planFullTuning(
  { lora }: Recipe,
  base: BaseModel,
  { info }: { readonly info: (message: string) => void },
): AdapterPlan {
  const asked =
    lora.init_adapter !== null
      ? 'init_adapter'
      : lora.frozen_adapters.length > 0
        ? 'frozen_adapters'
        : null;
  if (asked)
    throw new LoraError(
      'recipe',
      `With training.method full every weight of the base trains, and no adapter: lora.${asked} cannot be kept.`,
      {
        place: { file: base.path, key: `lora.${asked}` },
        fix: 'Merge the adapter into the base first, and train the merged model.',
      },
    );
  info(`Full tuning: all ${base.parameters.toLocaleString('en-US')} weights are trained.`);
  return {
    modules: [],
    rankOf: () => 0,
    frozen: [],
    create: () => Promise.resolve({ adapter: EMPTY_ADAPTER, baseCorrection: null }),
  };
}

/** The base with the head that it lacks, drawn as transformers does. */
export function withInitialHead(base: BaseModel, seed: number): BaseModel {
  const missing = namedTensors(base.spec).filter(({ name }) => base.missing.includes(name));
  const drawn = new Map(
    missing.map(({ name, shape }): [string, ReplacedTensor] => [
      name,
      {
        shape,
        read: () =>
          Promise.resolve(
            initialHeadTensor(
              name,
              shape.reduce((n, d) => n * d, 1),
              seed,
            ),
          ),
      },
    ]),
  );
  return { ...base, weights: withReplaced(base.weights, drawn) };
}
