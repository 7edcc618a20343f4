import { availableParallelism } from 'node:os';
import { multipliesBf16 } from '../../runtime/processor';
import { largestBatch } from '../../lora/largestBatch';
import { rowFormOf } from '../../shared/objective';
import type { Task } from '../../shared/task';
import type { Recipe } from '../../shared/recipe';
import { planTraining } from '../../shared/trainingPlan';
import type { Batch } from '../../shared/usualBatch';
import { withAssumedImages, type BaseFacts } from './costs';
import type { DatasetFacts } from './datasetFacts';

/** The settings of a recipe that decide how long its training takes. */
type TimedRecipe = Pick<Recipe, 'task' | 'validation' | 'validation_split' | 'training'> &
  Partial<Pick<Recipe, 'objective'>>;

/** What a batch depends on in a base model. */
type BatchBase = Pick<BaseFacts, 'batch' | 'size' | 'image_patches' | 'row_length'>;

/**
 * The largest batch of a training run, as `lora check` counts it: its rows are as long as the
 * longest of the dataset, or as max_length where that is unknown, and images then as large as they
 * can be.
 */
export function batchOf(
  base: BatchBase,
  recipe: Pick<Recipe, 'task' | 'training' | 'validation' | 'validation_split'> &
    Partial<Pick<Recipe, 'objective'>>,
  facts: Omit<DatasetFacts, 'tokens'> | null,
): Batch {
  const { task, training } = recipe;
  const size = training.per_device_train_batch_size;
  if (facts !== null && task !== 'features') {
    const examples = facts.examples - heldOut(recipe, facts.examples);
    const fixed = task === 'contrastive' ? (base.row_length ?? null) : null;
    const batch = largestBatch(recipe, { ...facts, examples }, fixed);
    return { size, ...batch, ...(batch.images && { images_from: 'dataset' }) };
  }
  const isPair = task === 'embedding' || rowFormOf(recipe) === 'preference';
  const rows = size * (isPair ? 2 : 1);
  const fixed = base.row_length ?? base.batch.length;
  const length = readsTexts(task) && task !== 'contrastive' ? training.max_length : fixed;
  return withAssumedImages(base, { size, rows, length });
}

/** Whether the length of a row is that of texts. */
const readsTexts = (task: Task): boolean => task !== 'image_cls' && task !== 'features';

/** Whether what is computed for a row is about all weights for each of its tokens. */
const isTimed = (task: Task): boolean => readsTexts(task) && task !== 'contrastive';

/** How long a training run takes. */
export interface Forecast {
  readonly epochs: number;
  readonly steps: number;
  /** About; null unless rows of tokens are trained. */
  readonly seconds: number | null;
}

/** What a machine computes. */
interface Speed {
  readonly cores: number;
  readonly multipliesBf16: boolean;
}

/** Weights times tokens that a core trains per second (docs/benchmarks.md). */
const PER_CORE = { bf16: 6e10, f32: 3.6e10 };
/** A pass over the weights takes as long as this many tokens, however few are in the batch. */
const TOKENS_OF_PASS = 128;
/** Loading, and an evaluation of a tenth of the rows now and then. */
const START_SECONDS = 4;
const WITH_EVALUATION = 1.1;

/** A pass over rows without gradients takes this share of the time of one that trains. */
const WITHOUT_GRADIENTS = 0.5;

/** What is trained, and the teacher that reads all rows before, if there is one. */
interface TimedModels extends Pick<BaseFacts, 'parameters'> {
  readonly teacher?: Pick<BaseFacts, 'parameters'> | null;
}

/** Steps, epochs and an estimate of the seconds of a training run. */
export function forecast(
  { parameters, teacher = null }: TimedModels,
  recipe: TimedRecipe,
  { examples, tokens }: DatasetFacts,
  speed: Speed = { cores: availableParallelism(), multipliesBf16: multipliesBf16() },
): Forecast {
  const { training, task } = recipe;
  const rows = examples - heldOut(recipe, examples);
  const { total_steps, steps_per_epoch } = planTraining(rows, training);
  const epochs =
    training.max_steps === null ? training.num_train_epochs : total_steps / steps_per_epoch;
  const batches = total_steps * training.gradient_accumulation_steps;
  const perBatch = (training.per_device_train_batch_size * tokens) / examples + TOKENS_OF_PASS;
  const perSecond = (speed.multipliesBf16 ? PER_CORE.bf16 : PER_CORE.f32) * speed.cores;
  const products = WITH_EVALUATION * batches * perBatch * parameters;
  const taught = teacher ? WITHOUT_GRADIENTS * tokens * teacher.parameters : 0;
  const seconds = START_SECONDS + (products + taught) / perSecond;
  return { epochs, steps: total_steps, seconds: isTimed(task) ? seconds : null };
}

/** The rows that are drawn for validation where the recipe names no file for it. */
function heldOut({ validation, validation_split }: TimedRecipe, examples: number): number {
  if (validation !== null || validation_split === 0 || examples < 2) return 0;
  return Math.min(examples - 1, Math.max(1, Math.round(examples * validation_split)));
}
