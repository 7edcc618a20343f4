import { sourcesOf } from '../../shared/datasetSources';
import { shellQuote } from '../../common/shellQuote';
import type { BaseModel } from '../../formats/baseModel';
import { LoraError, type Problem } from '../../shared/errors';
import { objectiveOf } from '../../shared/objective';
import type { Recipe } from '../../shared/recipe';
import { placeOfKey } from '../../shared/recipeFile';
import { countOf } from '../../shared/values';

/** The facts that decide whether the Ray Train engine can train a recipe. */
export interface SupportInputs {
  readonly recipe: Recipe;
  readonly base: Pick<BaseModel, 'format' | 'path'> & {
    readonly spec: { readonly language_model?: string };
  };
  /** Null: not chosen yet. */
  readonly workers: number | null;
}

/** A key of the recipe that asks for what the engine does not do. */
interface Limit {
  readonly key: string;
  readonly isBeyond: (inputs: SupportInputs) => boolean;
  /** Full sentences: what is not supported, and what to do. */
  readonly message: (inputs: SupportInputs) => string;
}

/** What the engine on Ray Train refuses. It supports what PEFT's configuration can say. */
const LIMITS: readonly Limit[] = [
  {
    key: 'base',
    isBeyond: ({ base }) => base.format === 'gguf',
    message: ({ base }) =>
      `Ray Train loads Hugging Face model folders, not .gguf files. Convert the base: lora convert --base ${shellQuote(base.path)} --to folder --dtype float32 --output FOLDER.`,
  },
  {
    key: 'base',
    isBeyond: ({ base }) => base.spec.language_model !== undefined,
    message: () =>
      'The base is a vision-language model, and Ray Train cannot load its language model alone. Use a language model.',
  },
  {
    key: 'task',
    isBeyond: ({ recipe }) => recipe.task !== 'causal_lm',
    message: ({ recipe }) =>
      `Ray Train trains language models only (causal_lm), not ${recipe.task}. Train it without "engine": "ray-train".`,
  },
  {
    key: 'objective.method',
    isBeyond: ({ recipe }) => objectiveOf(recipe) !== null && recipe.task === 'causal_lm',
    message: ({ recipe }) =>
      `Ray Train does not train by preferences (${recipe.objective.method}) yet. Train it without "engine": "ray-train".`,
  },
  {
    key: 'objective.method',
    isBeyond: ({ recipe }) => recipe.objective.method === 'distill',
    message: () =>
      'Ray Train does not learn from a teacher (distill) yet. Train it without "engine": "ray-train".',
  },
  {
    key: 'training.method',
    isBeyond: ({ recipe }) => recipe.training.method !== 'lora',
    message: () => 'Ray Train trains adapters only. Set training.method to "lora".',
  },
  {
    key: 'training.base_dtype',
    isBeyond: ({ recipe }) => recipe.training.base_dtype === 'quantized',
    message: () => 'Ray Train keeps no quantized weights. Set training.base_dtype to "auto".',
  },
  {
    key: 'training.quantize',
    isBeyond: ({ recipe }) => recipe.training.quantize !== null,
    message: () => 'Ray Train keeps no quantized weights. Set training.quantize to null.',
  },
  {
    key: 'lora.init_lora_weights',
    isBeyond: ({ recipe }) => ['olora', 'pissa'].includes(recipe.lora.init_lora_weights),
    message: ({ recipe }) =>
      `${recipe.lora.init_lora_weights} changes the base during training, which Ray Train does not support. Use "default", "gaussian" or "orthogonal".`,
  },
  {
    key: 'lora.trainable_token_indices',
    isBeyond: ({ recipe }) => recipe.lora.trainable_token_indices !== null,
    message: () =>
      'Ray Train does not train rows of tokens (trainable_token_indices) yet. Train it without "engine": "ray-train".',
  },
  {
    key: 'lora.frozen_adapters',
    isBeyond: ({ recipe }) => recipe.lora.frozen_adapters.length > 0,
    message: () =>
      'Ray Train trains a single adapter. Merge the frozen adapters into the base first: lora merge.',
  },
  {
    key: 'training.label_smoothing_factor',
    isBeyond: ({ recipe }) => recipe.training.label_smoothing_factor > 0,
    message: () => 'Ray Train trains without label smoothing. Set it to 0.',
  },
  {
    key: 'training.neftune_noise_alpha',
    isBeyond: ({ recipe }) => recipe.training.neftune_noise_alpha !== null,
    message: () => 'Ray Train adds no noise to token embeddings. Set it to null.',
  },
  {
    key: 'training.metric_for_best_model',
    isBeyond: ({ recipe }) => recipe.training.metric_for_best_model !== 'loss',
    message: () => 'Ray Train chooses the best weights by the validation loss. Use "loss".',
  },
  {
    key: 'training.early_stopping_patience',
    isBeyond: ({ recipe }) => recipe.training.early_stopping_patience !== null,
    message: () => 'Ray Train trains to the last step. Set early_stopping_patience to null.',
  },
  {
    key: 'dataset',
    isBeyond: ({ recipe }) =>
      sourcesOf(recipe.dataset).some(({ weight }) => !Number.isInteger(weight)),
    message: () =>
      'Ray Train draws the same examples in each epoch. Give each source a whole weight and a number of rows.',
  },
  {
    key: 'evaluate.suites',
    isBeyond: ({ recipe }) => recipe.evaluate.suites.length > 0,
    message: () => 'Ray Train answers no suites. Use lora evaluate after the training.',
  },
  {
    key: 'evaluate.forgetting',
    isBeyond: ({ recipe }) => recipe.evaluate.forgetting,
    message: () => 'Ray Train does not measure forgetting. Set it to false.',
  },
  {
    key: 'samples.prompts',
    isBeyond: ({ recipe: { samples } }) => samples.prompts.length > 0 && samples.sample_steps > 0,
    message: () =>
      'Ray Train answers no prompts during training. Remove them, or set samples.sample_steps to 0.',
  },
  {
    key: 'training.per_device_train_batch_size',
    isBeyond: ({ recipe, workers }) => workers !== null && workers > rowsPerStep(recipe),
    message: ({ recipe, workers }) =>
      `A step has ${countOf(rowsPerStep(recipe), 'row')}, fewer than ${workers} workers. Raise it or gradient_accumulation_steps, or use fewer workers.`,
  },
];

/** The rows that the workers share in a step. */
const rowsPerStep = ({ training }: Recipe): number =>
  training.per_device_train_batch_size * training.gradient_accumulation_steps;

/** The keys of a recipe that the engine refuses, each with a message. */
export const unsupportedKeys = (
  inputs: SupportInputs,
): readonly { readonly key: string; readonly message: string }[] =>
  LIMITS.filter(({ isBeyond }) => isBeyond(inputs)).map(({ key, message }) => ({
    key,
    message: message(inputs),
  }));

/**
 * Refuses a recipe that the engine on Ray Train cannot train. `text`: that of the recipe's file,
 * for the lines of its keys.
 *
 * @throws LoraError('recipe') with a problem for each key
 */
export function refuseUnsupported(inputs: SupportInputs, file: string, text: string | null): void {
  const problems = unsupportedKeys(inputs).map(({ key, message }): Problem => ({
    severity: 'error',
    message,
    place: text === null ? { file, key } : placeOfKey(text, file, key),
  }));
  const [only] = problems;
  if (!only) return;
  if (problems.length === 1)
    throw new LoraError('recipe', only.message, { ...(only.place && { place: only.place }) });
  throw new LoraError(
    'recipe',
    `Ray Train does not support ${problems.length} keys of the recipe.`,
    {
      place: { file },
      problems,
    },
  );
}
