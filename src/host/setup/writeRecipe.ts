import path from 'node:path';
import type { RecipeInput } from '../../shared/recipe';
import { replaceFile } from '../../common/atomicWrite';
import { t } from '../text/l10n';
import type { Task } from '../../shared/task';
import type { ObjectiveMethod } from '../../shared/objective';
import { BATCHES, PREFERENCE_BATCH } from '../../shared/usualBatch';
import { sourceKeys, type RecipeSources } from './recipeSources';
import { keptSettings, type KeptType } from './keptTypes';
import { relativeTo } from './relativeTo';
import type { TargetModules } from './targets';

/** What a new recipe is made from. */
export interface TrainAnswers extends RecipeSources {
  readonly task: Task;
  /** What a language model learns from the rows; answers by default. */
  readonly method?: ObjectiveMethod;
  readonly base: string;
  readonly validation: string | null;
  readonly r: number;
  readonly target_modules: TargetModules;
  /** How the base is kept; default: auto. */
  readonly kept?: KeptType;
}

/**
 * Good starting points. A new classification head needs a higher learning rate and more epochs; for
 * embeddings, and images with texts, the other pairs of a batch are the negatives, so it is large.
 */
const TRAINING: Readonly<Record<Task, RecipeInput['training']>> = {
  causal_lm: {
    learning_rate: 2e-4,
    num_train_epochs: 3,
    per_device_train_batch_size: BATCHES.causal_lm.size,
    max_length: BATCHES.causal_lm.length,
  },
  seq2seq_lm: {
    learning_rate: 1e-3,
    num_train_epochs: 3,
    per_device_train_batch_size: BATCHES.seq2seq_lm.size,
    max_length: BATCHES.seq2seq_lm.length,
  },
  seq_cls: {
    learning_rate: 5e-4,
    num_train_epochs: 5,
    per_device_train_batch_size: BATCHES.seq_cls.size,
    max_length: BATCHES.seq_cls.length,
  },
  token_cls: {
    learning_rate: 5e-4,
    num_train_epochs: 5,
    per_device_train_batch_size: BATCHES.token_cls.size,
    max_length: BATCHES.token_cls.length,
  },
  image_cls: {
    learning_rate: 5e-4,
    num_train_epochs: 5,
    per_device_train_batch_size: BATCHES.image_cls.size,
  },
  embedding: {
    learning_rate: 2e-4,
    num_train_epochs: 3,
    per_device_train_batch_size: BATCHES.embedding.size,
    max_length: BATCHES.embedding.length,
  },
  contrastive: {
    learning_rate: 2e-4,
    num_train_epochs: 5,
    per_device_train_batch_size: BATCHES.contrastive.size,
    max_length: BATCHES.contrastive.length,
  },
  reward: {
    learning_rate: 1e-4,
    num_train_epochs: 1,
    per_device_train_batch_size: BATCHES.reward.size,
    max_length: BATCHES.reward.length,
  },
  features: {
    learning_rate: 1e-3,
    num_train_epochs: 10,
    per_device_train_batch_size: BATCHES.features.size,
  },
  reranker: {
    learning_rate: 2e-4,
    num_train_epochs: 3,
    per_device_train_batch_size: BATCHES.reranker.size,
    max_length: BATCHES.reranker.length,
  },
};

/** Preferences need a low learning rate and few passes; a pair is two rows. */
const PREFERENCES: RecipeInput['training'] = {
  learning_rate: 5e-5,
  num_train_epochs: 1,
  per_device_train_batch_size: PREFERENCE_BATCH.size,
  max_length: PREFERENCE_BATCH.length,
};

const comparesRows = ({ task, method = 'sft' }: TrainAnswers): boolean =>
  task === 'causal_lm' && method !== 'sft';

/**
 * The text of a new recipe with the answers and the settings that are changed most often. Paths are
 * relative to `folder` where they are inside it.
 */
export function recipeText(answers: TrainAnswers, folder: string): string {
  const recipe: RecipeInput = {
    ...(answers.task === 'causal_lm' ? {} : { task: answers.task }),
    ...(comparesRows(answers) && { objective: { method: answers.method } }),
    base: relativeTo(folder, answers.base),
    ...sourceKeys(answers, folder),
    ...(answers.validation === null ? {} : { validation: relativeTo(folder, answers.validation) }),
    lora: {
      r: answers.r,
      lora_alpha: 2 * answers.r,
      target_modules: answers.target_modules as string | string[],
    },
    training: {
      ...(comparesRows(answers) ? PREFERENCES : TRAINING[answers.task]),
      ...keptSettings(answers.kept ?? 'auto'),
    },
  };
  return `${JSON.stringify(recipe, null, 2)}\n`;
}

/**
 * Writes a recipe file.
 *
 * @throws LoraError('disk').
 */
export const writeRecipe = (file: string, text: string): Promise<void> =>
  replaceFile(file, text, (reason) => ({
    message: t('The recipe cannot be written: {0}.', reason),
    fix: t('Make the folder writable, or open another one.'),
  }));

/** The first of lora.json, DATASET.lora.json, DATASET-2.lora.json, … that is not taken. */
export function freeRecipeName(taken: ReadonlySet<string>, dataset: string): string {
  if (!isTaken(taken, 'lora.json')) return 'lora.json';
  const stem = path.basename(dataset, path.extname(dataset));
  for (let n = 1; ; n++) {
    const name = `${stem}${n === 1 ? '' : `-${n}`}.lora.json`;
    if (!isTaken(taken, name)) return name;
  }
}

/** Whether a folder has a name already, in any case: on most disks these are one file. */
export const isTaken = (names: ReadonlySet<string>, name: string): boolean =>
  [...names].some((own) => own.toLowerCase() === name.toLowerCase());
