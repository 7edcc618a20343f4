import { quote } from '../../data/rows/describe';
import { prepareData, type PreparedData } from '../../data/dataset/prepare';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { modelSize } from '../../formats/architecture/size';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { countTrainable } from '../../lora/count';
import { estimateFullFineTuning, estimateMemory } from '../../lora/memory';
import { planStep, type StepMachine } from '../../lora/stepPlan';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import type { StepPlan } from '../../shared/stepPlan';
import { planAdapter, type AdapterPlan } from './plans/adapterPlan';
import { promptIds } from '../model/answer';
import { dataToolsOf } from '../model/dataTools';
import { openForTraining } from './open';
import { checkDisk, checkMemory, describeStepPlan } from './memoryCheck';
import type { StartingAdapters } from './startAdapter';
import { planFullTuning, withInitialHead } from './plans/fullTuningPlan';
import { described } from '../commands/describe';

/** Everything that a training needs before the weights are read. */
export interface PreparedTraining extends StartingAdapters {
  readonly base: BaseModel;
  /** Null for images. */
  readonly tokenizer: Tokenizer | null;
  readonly data: PreparedData;
  /** Adapters that stay as they are under the one that trains. */
  readonly frozen: readonly Adapter[];
  readonly step_plan: StepPlan;
  /** What a language model is asked while it trains. */
  readonly prompts: readonly string[];
}

export interface PrepareHooks {
  readonly info: (message: string) => void;
  readonly warn: (message: string) => void;
  readonly onData: (fraction: number) => void;
  /** Of a run that goes on; null: to be chosen for this machine. */
  readonly planned: StepPlan | null;
  readonly machine: StepMachine;
}

/**
 * Opens and checks base, dataset and adapter, and whether memory and disk suffice. Errors:
 * LoraError.
 */
export async function prepareTraining(
  recipe: Recipe,
  runDir: string,
  now: Date,
  hooks: PrepareHooks,
): Promise<PreparedTraining> {
  const { base: opened, read } = await openForTraining(recipe);
  const isFull = recipe.training.method === 'full';
  const base = isFull ? withInitialHead(opened, recipe.training.seed) : opened;
  try {
    const tools = await dataToolsOf(base, now);
    const { tokenizer, max_positions } = tools;
    const plan = isFull
      ? planFullTuning(recipe, base, hooks)
      : await planAdapter(recipe, base, hooks);
    const data = prepareData(read, recipe, { ...tools, onProgress: hooks.onData });
    for (const problem of data.warnings) hooks.warn(described(problem));
    const longest = Math.max(data.statistics.train.longest, data.statistics.validation.longest);
    if (longest > max_positions && recipe.training.max_length > max_positions)
      hooks.warn(
        `max_length is ${recipe.training.max_length}, but the model has positions for ${max_positions} tokens: longer rows are cut to that.`,
      );
    if (data.labels)
      hooks.info(
        `${data.labels.problem_type === 'regression' ? 'Numbers' : 'Labels'} to learn: ${data.labels.names.slice(0, 20).join(', ')}${data.labels.names.length > 20 ? `, and ${data.labels.names.length - 20} more` : ''}.`,
      );
    const step_plan = await planResources(recipe, base, plan, data, runDir, hooks);
    return {
      base,
      tokenizer,
      data,
      step_plan,
      frozen: plan.frozen,
      ...(await plan.create()),
      prompts:
        tokenizer && recipe.task === 'causal_lm'
          ? samplePrompts(recipe, data, tokenizer, hooks.warn)
          : [],
    };
  } catch (error) {
    await base.close();
    throw error;
  }
}

/** How steps are taken here. Errors: LoraError where memory or disk do not suffice. */
async function planResources(
  recipe: Recipe,
  base: BaseModel,
  { modules, rankOf }: AdapterPlan,
  data: PreparedData,
  runDir: string,
  { planned, machine, info, warn }: PrepareHooks,
): Promise<StepPlan> {
  const { max_length, per_device_train_batch_size, save_total_limit, packing, method, base_dtype } =
    recipe.training;
  const { train, validation } = data.statistics;
  const longest = Math.max(train.longest, validation.longest);
  const length =
    recipe.task === 'image_cls' ? longest : packing ? max_length : Math.min(max_length, longest);
  const batch =
    Math.min(per_device_train_batch_size, data.train.length) *
    (recipe.task === 'embedding' ? 2 : 1);
  const size = modelSize(base);
  const isFull = method === 'full';
  const estimate = (plan: StepPlan) =>
    isFull
      ? estimateFullFineTuning(size, batch, length, plan)
      : estimateMemory(size, modules, rankOf, batch, length, plan);
  const asked: Recipe['training'] = isFull
    ? { ...recipe.training, base_dtype: 'float32' }
    : recipe.training;
  const step = planned
    ? { plan: planned, estimate: estimate(planned), why: 'asked' as const }
    : planStep(asked, size.num_layers, estimate, machine);
  checkMemory(step.estimate, machine.available, method);
  if (step.why === 'refused')
    warn('base_dtype is bfloat16, which this runtime does not have: float32 is used.');
  if (isFull && base_dtype === 'bfloat16')
    warn('base_dtype is bfloat16, which is for frozen weights: those that train are float32.');
  info(describeStepPlan(step, size.num_layers, method));
  const checkpoint =
    3 *
    Float32Array.BYTES_PER_ELEMENT *
    // what is trained and both moments
    (isFull ? base.parameters : countTrainable(modules, rankOf).trainable);
  // one more while it is written, then the results
  await checkDisk(runDir, checkpoint * (save_total_limit + (isFull ? 2 : 3)));
  return step.plan;
}

/**
 * The questions that are put to the model while it trains. Those that its chat template refuses,
 * and those longer than the memory was reckoned for, are left out now, so that no run ends over
 * them.
 */
function samplePrompts(
  { samples, training: { max_length } }: Recipe,
  data: PreparedData,
  tokenizer: Tokenizer,
  warn: (message: string) => void,
): string[] {
  if (samples.sample_steps === 0) return [];
  return (
    samples.prompts.length > 0 ? samples.prompts : data.sample_rows.map((row) => row.text)
  ).filter((prompt) => {
    const fault = promptFault(prompt, tokenizer, max_length);
    if (fault !== null) warn(`The sample prompt ${quote(prompt)} is left out: ${fault}`);
    return fault === null;
  });
}

function promptFault(prompt: string, tokenizer: Tokenizer, max_length: number): string | null {
  try {
    const { length } = promptIds(tokenizer, prompt, tokenizer.has_chat_template);
    if (length === 0) return 'it is empty.';
    return length > max_length ? `it has ${length} tokens, max_length is ${max_length}.` : null;
  } catch (error) {
    return LoraError.from(error, 'tokenizer').message;
  }
}
