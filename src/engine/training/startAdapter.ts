import { linearsOf } from '../../formats/architecture/layerLinears';
import { moduleNames, namedTensors } from '../../formats/architecture/modules';
import { modulesToSave, pathOf, savedTensors } from '../../formats/architecture/trainedBeside';
import { publishedBase } from '../../formats/hub/publishedBase';
import { readWeight } from '../../formats/openBase';
import type { BaseModel } from '../../formats/baseModel';
import { initialMagnitude } from '../../lora/dora';
import { exactTargets } from '../../lora/exactTargets';
import { targetsParameters } from '../../lora/experts';
import { newAdapter, type LoraChoices } from '../../lora/newAdapter';
import { isModuleToSave } from '../../lora/modulesToSave';
import { startFromWeight } from '../../lora/startFromWeight';
import type { Adapter, LoraFactors, TargetableModule, TrainedTensor } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { nearestName } from '../../shared/nearest';
import { createRandom } from '../../shared/random';
import type { LoraSettings, Recipe } from '../../shared/recipe';
import { plannedTokens, tokenTensors } from './startTokens';

const INITIALIZER_RANGE = 0.02;

/** What an adapter's training starts with. */
export interface StartingAdapters {
  readonly adapter: Adapter;
  /**
   * PiSSA and OLoRA: a frozen adapter that subtracts the initial update from the base, so that both
   * together leave it unchanged. Null for other initializations.
   */
  readonly baseCorrection: Adapter | null;
}

/**
 * A new adapter on the modules. Reads the base's weights for DoRA, PiSSA and OLoRA, and for tensors
 * that are trained in full.
 */
export async function startAdapter(
  base: BaseModel,
  modules: readonly TargetableModule[],
  { lora, training: { seed } }: Pick<Recipe, 'lora' | 'training'>,
): Promise<StartingAdapters> {
  const { init_lora_weights: init } = lora;
  const startsFromWeights = init === 'olora' || init === 'pissa';
  const plain = newAdapter(modules, adapterSettings(base, lora), publishedBase(base).name_or_path, {
    seed,
    init: startsFromWeights ? 'default' : init,
  });
  const factors: LoraFactors[] = [];
  for (const module of plain.modules) factors.push(await startFactors(base, module, lora));
  const adapter: Adapter = {
    ...withExactTargets(plain, base),
    modules: factors,
    trained: [
      ...(await trainedTensors(base, plain, seed)),
      ...(await tokenTensors(base, plannedTokens(base, lora, modules))),
    ],
  };
  if (!startsFromWeights) return { adapter, baseCorrection: null };
  const negated = factors.map((m) => ({ ...m, B: m.B.map((b) => -b), magnitude: null }));
  return { adapter, baseCorrection: { ...adapter, trained: [], modules: negated } };
}

/**
 * The adapter with the shortest target_modules with which PEFT adapts exactly its modules: PEFT's
 * rules also apply to layers that are trained in full or that LoRA cannot adapt.
 */
export function withExactTargets(adapter: Adapter, { spec }: Pick<BaseModel, 'spec'>): Adapter {
  const { config, modules } = adapter;
  if (targetsParameters(adapter)) return adapter; // PEFT needs its target_parameters as they are
  const targets = exactTargets({
    chosen: modules.map((m) => m.path),
    all: moduleNames(spec),
    given: [config],
  });
  return { ...adapter, config: { ...config, ...targets } };
}

function adapterSettings(base: BaseModel, lora: LoraSettings): LoraChoices {
  const {
    r,
    lora_alpha,
    lora_dropout,
    target_modules,
    use_rslora,
    use_dora,
    bias,
    rank_pattern,
    alpha_pattern,
    layers_to_transform,
    layers_pattern,
    exclude_modules,
  } = lora;
  return {
    r,
    lora_alpha,
    lora_dropout,
    target_modules,
    use_rslora,
    use_dora,
    bias,
    modules_to_save: modulesToSave(base, lora.modules_to_save),
    trainable_token_indices: lora.trainable_token_indices,
    fan_in_fan_out: base.spec.layers.some((layer) => layer.attention.o.transposed),
    layers_to_transform,
    layers_pattern,
    rank_pattern,
    alpha_pattern,
    exclude_modules,
    target_parameters: lora.target_parameters,
  };
}

/** The initial factors of one module; DoRA, PiSSA and OLoRA compute them from its weight. */
async function startFactors(
  base: BaseModel,
  module: LoraFactors,
  { use_dora, init_lora_weights: init }: LoraSettings,
): Promise<LoraFactors> {
  const startsFromWeight = (init === 'olora' || init === 'pissa') && module.kind === 'linear';
  if (!use_dora && !startsFromWeight) return module;
  const weight = await orientedWeight(base, module);
  const factors = startsFromWeight
    ? { ...module, ...startFromWeight(init, weight, module) }
    : module;
  return use_dora ? { ...factors, magnitude: initialMagnitude(weight, module) } : factors;
}

/** The weight as [out, in] (an embedding's as [vocab, dim]); some families store it transposed. */
async function orientedWeight(
  base: BaseModel,
  { path, in_features, out_features }: LoraFactors,
): Promise<Float32Array> {
  const stored = await readWeight(base, `${path}.weight`);
  const { transposed = false } =
    base.spec.layers.flatMap(linearsOf).find((linear) => linear.path === path) ?? {};
  return transposed
    ? Float32Array.from(
        { length: stored.length },
        (_, i) => stored[(i % in_features) * out_features + Math.floor(i / in_features)]!,
      )
    : stored;
}

/**
 * Initial values of the biases and modules that are trained in full: the base's, or random ones for
 * a head that the base does not have.
 */
async function trainedTensors(
  base: BaseModel,
  { config, modules }: Adapter,
  seed: number,
): Promise<TrainedTensor[]> {
  const wanted = savedTensors(base, config, new Set(modules.map((m) => m.path)));
  const tensors: TrainedTensor[] = [];
  for (const { name, shape } of wanted) {
    const data = base.missing.includes(name)
      ? initialHeadTensor({ name, shape }, seed)
      : await readWeight(base, name);
    tensors.push({ name, shape, data });
  }
  return tensors;
}

/** @throws LoraError('recipe') for a name that matches no module */
export function checkModulesToSave(base: BaseModel, names: readonly string[] | null): void {
  const paths = namedTensors(base.spec).flatMap(({ name }) => pathOf(name) || []);
  const unknown = (names ?? []).find((name) => !paths.some((path) => isModuleToSave(path, [name])));
  if (unknown === undefined) return;
  const kinds = [...new Set(paths.map((path) => path.slice(path.lastIndexOf('.') + 1)))];
  const nearest = nearestName(unknown, kinds);
  throw new LoraError(
    'recipe',
    `"${unknown}" in modules_to_save is not a module of this base${nearest === undefined ? '.' : `; did you mean "${nearest}"?`}`,
    {
      place: { file: base.path, key: 'lora.modules_to_save' },
      fix: `The modules of this base: ${kinds.join(', ')}.`,
    },
  );
}

/**
 * Initial values of a head's tensor that the base does not have: normally distributed with a
 * standard deviation of 0.02 (transformers' initializer_range), or zero for biases.
 */
export function initialHeadTensor(
  { name, shape }: Pick<TrainedTensor, 'name' | 'shape'>,
  seed: number,
): Float32Array {
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (name.endsWith('.bias')) return new Float32Array(size);
  if (shape.length === 1) return new Float32Array(size).fill(1); // a norm
  const random = createRandom(seed, 'head', name);
  return Float32Array.from({ length: size }, () => {
    // Box-Muller transform
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return INITIALIZER_RANGE * radius * Math.cos(2 * Math.PI * random());
  });
}
