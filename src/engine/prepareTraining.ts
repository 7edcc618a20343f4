import { quote } from '../data/json';
import { prepareData, type PreparedData } from '../data/prepare';
import { createTokenizer } from '../data/tokenizer';
import type { Tokenizer } from '../data/types';
import { modelSize } from '../formats/architecture/size';
import { openBase } from '../formats/base';
import type { BaseModel } from '../formats/types';
import { countTrainable } from '../lora/count';
import { estimateMemory } from '../lora/memory';
import { LoraError } from '../shared/errors';
import type { Recipe } from '../shared/recipe';
import { planAdapter, type AdapterPlan } from './adapterPlan';
import { promptIds } from './answer';
import { checkDisk, checkMemory } from './room';
import type { Start } from './startAdapter';
import { described } from './words';

/** Everything that a training needs before the weights are read. */
export interface Prepared extends Start {
  readonly base: BaseModel;
  readonly tokenizer: Tokenizer;
  readonly data: PreparedData;
  readonly prompts: readonly string[];
}

export interface PrepareHooks {
  readonly info: (message: string) => void;
  readonly warn: (message: string) => void;
  readonly onData: (fraction: number) => void;
}

/** Opens and checks base, dataset and adapter, and whether memory and disk suffice. Errors: LoraError. */
export async function prepareTraining(recipe: Recipe, runDir: string, now: Date, hooks: PrepareHooks): Promise<Prepared> {
  const base = await openBase(recipe.base, { task: 'causal_lm' });
  try {
    const { vocab_size } = base.spec;
    const tokenizer = createTokenizer(await base.readTokenizer(), { now });
    const plan = await planAdapter(recipe, base, hooks);
    const data = await prepareData(recipe, tokenizer, { vocab_size, onProgress: hooks.onData });
    for (const problem of data.warnings) hooks.warn(described(problem));
    await checkResources(recipe, base, plan, data, runDir);
    return { base, tokenizer, data, ...(await plan.create()), prompts: samplePrompts(recipe, data, tokenizer, hooks.warn) };
  } catch (error) {
    await base.close();
    throw error;
  }
}

async function checkResources(recipe: Recipe, base: BaseModel, { modules, rankOf }: AdapterPlan, data: PreparedData, runDir: string): Promise<void> {
  const { max_length, per_device_train_batch_size, save_total_limit } = recipe.training;
  const length = Math.min(max_length, Math.max(data.statistics.train.longest, data.statistics.validation.longest));
  const batch = Math.min(per_device_train_batch_size, data.train.length);
  checkMemory(estimateMemory(modelSize(base), modules, rankOf, batch, length));
  const checkpoint = 3 * Float32Array.BYTES_PER_ELEMENT * countTrainable(modules, rankOf).trainable; // the adapter and both moments
  await checkDisk(runDir, checkpoint * (save_total_limit + 3));
}

/** The questions that are put to the model while it trains. Those that its chat template refuses, and those longer than the memory was reckoned for, are left out now,
 *  so that no run ends over them. */
function samplePrompts({ samples, training: { max_length } }: Recipe, data: PreparedData, tokenizer: Tokenizer, warn: (message: string) => void): string[] {
  if (samples.sample_steps === 0) return [];
  return (samples.prompts.length > 0 ? samples.prompts : data.prompts).filter((prompt) => {
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
