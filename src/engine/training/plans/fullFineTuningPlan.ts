import { NO_BESIDES } from '../../../lora/count';
import { namedTensors } from '../../../formats/architecture/modules';
import { type ReplacedTensor, withReplaced } from '../../../formats/weightSource';
import type { BaseModel } from '../../../formats/baseModel';
import { LoraError } from '../../../shared/errors';
import type { Recipe } from '../../../shared/recipe';
import type { AdapterPlan } from './adapterPlan';
import { EMPTY_ADAPTER } from '../../model/backend';
import { initialHeadTensor } from '../startAdapter';
import { countOf } from '../../../shared/values';

/**
 * The plan of full fine-tuning: all weights of the base are trained, without an adapter.
 *
 * @throws LoraError('recipe') when the recipe names adapters
 */
export function planFullFineTuning(
  { lora }: Recipe,
  base: BaseModel,
  { info }: { readonly info: (message: string) => void },
): AdapterPlan {
  if (lora.init_adapter !== null) throw adapterRefused(base, 'init_adapter');
  if (lora.frozen_adapters.length > 0) throw adapterRefused(base, 'frozen_adapters');
  if (lora.trainable_token_indices !== null)
    throw new LoraError(
      'recipe',
      'training.method full trains all rows of the embedding, so lora.trainable_token_indices cannot be used.',
      {
        place: { file: base.path, key: 'lora.trainable_token_indices' },
        fix: 'Remove trainable_token_indices, or set training.method to "lora".',
      },
    );
  info(
    `Full fine-tuning of all ${countOf(base.parameters, 'weight', (n) => n.toLocaleString('en-US'))}.`,
  );
  return {
    modules: [],
    rankOf: () => 0,
    trained: [],
    use_dora: false,
    besides: NO_BESIDES,
    frozen: [],
    create: () => Promise.resolve({ adapter: EMPTY_ADAPTER, baseCorrection: null }),
  };
}

function adapterRefused({ path }: BaseModel, key: 'init_adapter' | 'frozen_adapters'): LoraError {
  return new LoraError(
    'recipe',
    `training.method full trains the base without adapters, so lora.${key} cannot be used.`,
    {
      place: { file: path, key: `lora.${key}` },
      fix: 'Merge the adapter into the base and train the merged model.',
    },
  );
}

/** The base with random initial values for the head that it does not have. */
export function withInitialHead(base: BaseModel, seed: number): BaseModel {
  const missing = namedTensors(base.spec).filter(({ name }) => base.missing.includes(name));
  const initial = new Map(
    missing.map(({ name, shape }): [string, ReplacedTensor] => [
      name,
      { shape, read: () => Promise.resolve(initialHeadTensor({ name, shape }, seed)) },
    ]),
  );
  return { ...base, weights: withReplaced(base.weights, initial) };
}
