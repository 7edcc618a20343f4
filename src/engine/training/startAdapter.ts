import { linearsOf, namedTensors } from '../../formats/architecture/modules';
import { readWeight } from '../../formats/base';
import type { BaseModel } from '../../formats/baseModel';
import { initialMagnitude } from '../../lora/dora';
import { newAdapter } from '../../lora/newAdapter';
import { isModuleToSave } from '../../lora/modulesToSave';
import { startFromWeight } from '../../lora/startFromWeight';
import type {
  Adapter,
  AdapterConfig,
  LoraFactors,
  TargetableModule,
  TrainedTensor,
} from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { nearestName } from '../../shared/nearest';
import { createRandom } from '../../shared/random';
import type { LoraSettings } from '../../shared/recipe';

/** What a training begins with. */
export interface StartingAdapters {
  readonly adapter: Adapter;
  /**
   * What the base goes without while it trains (PiSSA, OLoRA), as a frozen adapter below the other.
   */
  readonly baseCorrection: Adapter | null;
}

/** A new adapter on the modules, with all that its variant takes from the base's weights. */
export async function startAdapter(
  base: BaseModel,
  modules: readonly TargetableModule[],
  lora: LoraSettings,
  base_name: string,
  seed: number,
): Promise<StartingAdapters> {
  checkSaved(base, lora.modules_to_save);
  const { init_lora_weights: init } = lora;
  const plain = newAdapter(
    modules,
    choicesOf(base, lora),
    base_name,
    seed,
    init === 'olora' || init === 'pissa' ? 'default' : init,
  );
  const started: LoraFactors[] = [];
  for (const m of plain.modules) started.push(await withWeight(base, m, lora));
  const adapter: Adapter = {
    ...plain,
    modules: started,
    trained: await trainedTensors(base, plain, seed),
  };
  return {
    adapter,
    baseCorrection:
      init === 'olora' || init === 'pissa'
        ? {
            ...adapter,
            trained: [],
            modules: started.map((m) => ({ ...m, B: m.B.map((b) => -b), magnitude: null })),
          }
        : null,
  };
}

function choicesOf(
  base: BaseModel,
  lora: LoraSettings,
): Omit<AdapterConfig, 'base_model_name_or_path' | 'raw'> {
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
    fan_in_fan_out: base.spec.layers.some((layer) => layer.attention.o.transposed),
    layers_to_transform,
    layers_pattern,
    rank_pattern,
    alpha_pattern,
    exclude_modules,
  };
}

/**
 * What trains whole: what the recipe names, and the task's head, which is new. PEFT names both of
 * these in an adapter for texts; other layers of the head that the base lacks are named here.
 */
export function modulesToSave(
  { spec, missing }: Pick<BaseModel, 'spec' | 'missing'>,
  named: readonly string[] | null,
): readonly string[] | null {
  if (spec.head.kind !== 'labels') return named;
  const heads = spec.task === 'image_cls' ? ['classifier'] : ['classifier', 'score'];
  const known = [...new Set([...(named ?? []), ...heads])];
  return [...known, ...new Set(missing.map(pathOf).filter((own) => !isModuleToSave(own, known)))];
}

async function withWeight(
  base: BaseModel,
  m: LoraFactors,
  { use_dora, init_lora_weights: init }: LoraSettings,
): Promise<LoraFactors> {
  const starts = (init === 'olora' || init === 'pissa') && m.kind === 'linear';
  if (!use_dora && !starts) return m;
  const weight = await orientedWeight(base, m);
  const begun = starts ? { ...m, ...startFromWeight(init, weight, m) } : m;
  return use_dora ? { ...begun, magnitude: initialMagnitude(weight, m) } : begun;
}

/** W as [out, in] (an embedding's as [vocab, dim]), however the file stores it. */
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
 * Biases and whole modules that train, as they are in the base; a head that the checkpoint lacks is
 * drawn as transformers does.
 */
async function trainedTensors(
  base: BaseModel,
  { config, modules }: Adapter,
  seed: number,
): Promise<TrainedTensor[]> {
  const all = namedTensors(base.spec);
  const adapted = new Set(modules.map((m) => m.path));
  const wanted = all.filter(({ name }) => {
    const path = pathOf(name);
    const biased =
      name.endsWith('.bias') &&
      (config.bias === 'all' || (config.bias === 'lora_only' && adapted.has(path)));
    return biased || isModuleToSave(path, config.modules_to_save);
  });
  const tensors: TrainedTensor[] = [];
  for (const { name, shape } of wanted) {
    tensors.push({
      name,
      shape,
      data: base.missing.includes(name)
        ? initialHeadTensor(
            name,
            shape.reduce((n, d) => n * d, 1),
            seed,
          )
        : await readWeight(base, name),
    });
  }
  return tensors;
}

const pathOf = (tensor: string) => tensor.slice(0, tensor.lastIndexOf('.'));

/** Errors: LoraError('recipe') for a name that means no module. */
function checkSaved(base: BaseModel, names: readonly string[] | null): void {
  const paths = namedTensors(base.spec).map(({ name }) => pathOf(name));
  const unknown = (names ?? []).find((name) => !paths.some((own) => isModuleToSave(own, [name])));
  if (unknown === undefined) return;
  const kinds = [...new Set(paths.map((own) => own.slice(own.lastIndexOf('.') + 1)))];
  const nearest = nearestName(unknown, kinds);
  throw new LoraError(
    'recipe',
    `"${unknown}" in modules_to_save is no module of this base${nearest === undefined ? '' : `; the nearest is "${nearest}"`}.`,
    {
      place: { file: base.path, key: 'lora.modules_to_save' },
      fix: `Modules here: ${kinds.join(', ')}.`,
    },
  );
}

/**
 * A head's tensor that the base lacks: transformers' initializer_range for weights, zero for
 * biases.
 */
export function initialHeadTensor(name: string, size: number, seed: number): Float32Array {
  if (name.endsWith('.bias')) return new Float32Array(size);
  const random = createRandom(seed, 'head', name);
  return Float32Array.from(
    { length: size },
    () => 0.02 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}
