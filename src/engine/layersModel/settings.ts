import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';

/** A setting that layers models do not have, and how it must be. */
interface Unsupported {
  readonly key: string;
  readonly isUsed: (recipe: Recipe) => boolean;
  readonly fix: string;
}

const UNSUPPORTED: readonly Unsupported[] = [
  {
    key: 'task',
    isUsed: ({ task }) => task !== 'image_cls' && task !== 'features',
    fix: 'Set it to image_cls (folders of images) or features (rows of numbers).',
  },
  {
    key: 'training.method',
    isUsed: ({ training }) => training.method !== 'lora',
    fix: 'Set it to lora.',
  },
  {
    key: 'training.base_dtype',
    isUsed: ({ training: { base_dtype } }) => base_dtype !== 'auto' && base_dtype !== 'float32',
    fix: 'Set it to float32: TensorFlow.js has no other.',
  },
  {
    key: 'training.quantize',
    isUsed: ({ training }) => training.quantize !== null,
    fix: 'Set it to null.',
  },
  {
    key: 'training.gradient_checkpointing',
    isUsed: ({ training }) => training.gradient_checkpointing === true,
    fix: 'Set it to false.',
  },
  {
    key: 'training.packing',
    isUsed: ({ training }) => training.packing,
    fix: 'Set it to false.',
  },
  {
    key: 'training.neftune_noise_alpha',
    isUsed: ({ training }) => training.neftune_noise_alpha !== null,
    fix: 'Set it to null.',
  },
  { key: 'lora.use_dora', isUsed: ({ lora }) => lora.use_dora, fix: 'Set it to false.' },
  { key: 'lora.bias', isUsed: ({ lora }) => lora.bias !== 'none', fix: 'Set it to none.' },
  {
    key: 'lora.lora_dropout',
    isUsed: ({ lora }) => lora.lora_dropout > 0,
    fix: 'Set it to 0: the update is added to the kernel, before any input is known.',
  },
  {
    key: 'lora.init_lora_weights',
    isUsed: ({ lora }) => lora.init_lora_weights === 'olora' || lora.init_lora_weights === 'pissa',
    fix: 'Set it to default, gaussian or orthogonal.',
  },
  {
    key: 'lora.layers_to_transform',
    isUsed: ({ lora }) => lora.layers_to_transform !== null,
    fix: 'Set it to null, and name layers in target_modules.',
  },
  {
    key: 'lora.modules_to_save',
    isUsed: ({ lora }) => lora.modules_to_save !== null,
    fix: 'Set it to null: a new output layer is trained and saved without it.',
  },
  {
    key: 'lora.target_parameters',
    isUsed: ({ lora }) => lora.target_parameters !== null,
    fix: 'Set it to null.',
  },
  {
    key: 'lora.trainable_token_indices',
    isUsed: ({ lora }) => lora.trainable_token_indices !== null,
    fix: 'Set it to null.',
  },
  {
    key: 'lora.frozen_adapters',
    isUsed: ({ lora }) => lora.frozen_adapters.length > 0,
    fix: 'Merge those adapters into the model first.',
  },
];

/**
 * Refuses what a training run of a layers model does not have.
 *
 * @throws LoraError('recipe') naming the key
 */
export function refuseUnsupported(recipe: Recipe): void {
  const found = UNSUPPORTED.find(({ isUsed }) => isUsed(recipe));
  if (!found) return;
  const { key, fix } = found;
  throw new LoraError('recipe', `"${key}" is not supported for layers models of TensorFlow.js.`, {
    place: { file: recipe.base, key },
    fix,
  });
}

/** @throws LoraError('recipe') for a task that only layers models have, with another base */
export function refuseOfOthers({ task, problem_type: kind, base }: Recipe): void {
  const refuse = (key: string, what: string) =>
    new LoraError('recipe', `${what} for layers models of TensorFlow.js.`, {
      place: { file: base, key },
      fix: 'Name a model.json as the base.',
    });
  if (task === 'features') throw refuse('task', 'The task features is');
  const isPlain = kind === null || kind === 'single_label_classification';
  if (task === 'image_cls' && !isPlain)
    throw refuse('problem_type', `Images with problem_type ${kind} are`);
}
