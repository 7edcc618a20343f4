import path from 'node:path';
import { prepareData, type PreparedData } from '../data/prepare';
import { createTokenizer } from '../data/tokenizer';
import type { Tokenizer } from '../data/types';
import { openBase, targetableModules } from '../formats/base';
import { readPeftAdapter } from '../formats/peft/read';
import type { BaseModel } from '../formats/types';
import { tooHighRank } from '../lora/count';
import { decoderSize, estimateMemory } from '../lora/memory';
import { newAdapter } from '../lora/newAdapter';
import { matchTargets } from '../lora/targets';
import type { Adapter, TargetableModule } from '../lora/types';
import { readArchitecture } from '../models/architecture';
import { LoraError, type Problem } from '../shared/errors';
import type { Recipe } from '../shared/recipe';
import { checkDisk, checkMemory } from './room';

/** Everything that a training needs before the weights are read. */
export interface Prepared {
  readonly base: BaseModel;
  readonly tokenizer: Tokenizer;
  readonly data: PreparedData;
  readonly adapter: Adapter;
}

export interface PrepareHooks {
  readonly warn: (message: string) => void;
  readonly onData: (fraction: number) => void;
}

/** Opens and checks base, dataset and adapter, and whether memory and disk suffice. Errors: LoraError. */
export async function prepareTraining(recipe: Recipe, runDir: string, now: Date, hooks: PrepareHooks): Promise<Prepared> {
  const base = await openBase(recipe.base);
  try {
    const { vocab_size } = readArchitecture(base.config, base.path);
    const tokenizer = createTokenizer(await base.readTokenizer(), { now });
    const adapter = await startingAdapter(recipe, base, hooks.warn);
    const data = await prepareData(recipe, tokenizer, { vocab_size, onProgress: hooks.onData });
    for (const problem of data.warnings) hooks.warn(described(problem));
    if (data.train.length === 0) throw new LoraError('dataset', 'The dataset holds no example.', { place: { file: recipe.dataset } });
    checkResources(recipe, base, adapter, data);
    await checkDisk(runDir, checkpointBytes(adapter) * (recipe.training.save_total_limit + 3));
    return { base, tokenizer, data, adapter };
  } catch (error) {
    await base.close();
    throw error;
  }
}

/** init_adapter as it is, or a new one on target_modules. Errors: LoraError where no module matches. */
async function startingAdapter(recipe: Recipe, base: BaseModel, warn: (message: string) => void): Promise<Adapter> {
  const { lora, training } = recipe;
  const modules = targetableModules(base);
  if (lora.init_adapter !== null) {
    const { adapter, warnings } = await readPeftAdapter(lora.init_adapter, { modules, names: [base.name, base.path] });
    for (const warning of warnings) warn(described(warning));
    return adapter;
  }
  const { matched, unmatched } = matchTargets(modules, lora);
  const hints = unmatched.map(({ name, nearest }) => `"${name}" is no module of this base${nearest === undefined ? '' : `; the nearest is "${nearest}"`}`);
  if (matched.length === 0) {
    throw new LoraError('recipe', `No module matches target_modules. ${hints.join('. ')}`.trim(), {
      place: { file: base.path, key: 'lora.target_modules' }, fix: `Modules here: ${namesOf(modules)}; or "all-linear".`,
    });
  }
  for (const hint of hints) warn(`target_modules: ${hint}.`);
  warnOfRank(matched, lora.r, warn);
  return newAdapter(matched, lora, baseName(base), training.seed);
}

function warnOfRank(modules: readonly TargetableModule[], r: number, warn: (message: string) => void): void {
  const [first, ...others] = tooHighRank(modules, r);
  if (!first) return;
  warn(`r = ${r} is above the smaller side of ${first.path} (${first.out_features} x ${first.in_features})${others.length > 0 ? ` and of ${others.length} more modules` : ''}: such an update is no longer of low rank, and costs more than tuning the layer itself.`);
}

/** What adapter_config.json calls the base: the folder or file as it is on this machine. */
export const baseName = (base: BaseModel): string => base.path;

const namesOf = (modules: readonly TargetableModule[]) => [...new Set(modules.map((m) => m.path.split('.').at(-1)))].join(', ');

export function described(problem: Problem): string {
  const { place } = problem;
  if (!place) return problem.message;
  return `${path.basename(place.file)}${place.line === undefined ? '' : `:${place.line}`}: ${problem.message}`;
}

function checkResources(recipe: Recipe, base: BaseModel, adapter: Adapter, data: PreparedData): void {
  const paths = new Set(adapter.modules.map((m) => m.path));
  const targets = targetableModules(base).filter((m) => paths.has(m.path));
  const r = Math.max(...adapter.modules.map((m) => m.r));
  const length = Math.min(recipe.training.max_length, Math.max(data.statistics.train.longest, data.statistics.validation.longest));
  const batch = Math.min(recipe.training.per_device_train_batch_size, data.train.length);
  checkMemory(estimateMemory(decoderSize(base.config, base.parameters), targets, r, batch, length));
}

/** Adapter and both moments, in f32. */
function checkpointBytes(adapter: Adapter): number {
  return adapter.modules.reduce((sum, m) => sum + m.A.byteLength + m.B.byteLength, 0) * 3;
}
