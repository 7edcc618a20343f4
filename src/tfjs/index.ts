import * as tf from '@tensorflow/tfjs';
import { drawFactors } from '../lora/drawFactors';
import { scalingOf } from '../lora/adapter';
import { createRandom } from '../shared/random';
import { AdaptedModel } from './adaptedModel';
import { readAdapterFiles, writeAdapterFiles } from './adapterFiles';
import { isNamed, kernelsOf, type Kernel } from './kernels';

/** How a model is adapted; the names and defaults are those of PEFT. */
export interface LoraOptions {
  /** Rank of the updates. Default: 8. */
  readonly r?: number;
  /** The updates are scaled by lora_alpha / r. Default: 2 · r. */
  readonly lora_alpha?: number;
  /** Scale by lora_alpha / √r instead. Default: false. */
  readonly use_rslora?: boolean;
  /**
   * Which kernels: names of layers or of their classes (`Dense`, `Conv2D`), or paths of kernels
   * such as `lstm_1.recurrent_kernel`. Default: `all-linear`, which is all but embeddings.
   */
  readonly targets?: 'all-linear' | readonly string[];
  /** Of the random numbers that A starts with. Default: 42. */
  readonly seed?: number;
}

/** What was adapted. */
export interface Lora {
  /** The adapted kernels. */
  readonly modules: readonly string[];
  readonly trainable_parameters: number;
}

/** The files of an adapter, which `lora merge` and `lora evaluate` read, too. */
export interface AdapterFiles {
  readonly 'adapter_config.json': string;
  readonly 'adapter_model.safetensors': Uint8Array;
}

interface Applied {
  readonly adapted: AdaptedModel;
  readonly settings: {
    readonly r: number;
    readonly lora_alpha: number;
    readonly use_rslora: boolean;
  };
}

/** Every option; an object, so that none is forgotten. */
const OPTIONS: Readonly<Record<keyof LoraOptions, true>> = {
  r: true,
  lora_alpha: true,
  use_rslora: true,
  targets: true,
  seed: true,
};

const applied: WeakMap<tf.LayersModel, Applied> = new WeakMap<tf.LayersModel, Applied>();

/**
 * Freezes a model and gives its kernels low-rank updates that train: W' = W + s·(BA)ᵀ. Batch norms
 * use their stored statistics from now on. Compile the model afterwards, and train it with
 * `model.fit` as ever.
 *
 * @throws Error when the model is adapted already, a name matches nothing, or there is no such
 *   option.
 */
export function applyLora(model: tf.LayersModel, options: LoraOptions = {}): Lora {
  const { r = 8, use_rslora = false, targets = 'all-linear', seed = 42 } = options;
  const settings = { r, lora_alpha: options.lora_alpha ?? 2 * r, use_rslora };
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(OPTIONS, name));
  if (unknown !== undefined)
    throw new Error(
      `${JSON.stringify(unknown)} is no option of applyLora, which has ${Object.keys(OPTIONS).join(', ')}.`,
    );
  if (!Number.isInteger(r) || r < 1) throw new Error(`r must be a whole number above 0, not ${r}.`);
  if (!(settings.lora_alpha > 0 && Number.isFinite(settings.lora_alpha)))
    throw new Error('lora_alpha must be above 0.');
  refuseAdapted(model);
  const kernels = chosen(kernelsOf(model), targets);
  const scaling = scalingOf(r, settings.lora_alpha, use_rslora);
  const factors = kernels.map((kernel) => ({
    kernel,
    r,
    lora_alpha: settings.lora_alpha,
    scaling,
    ...drawFactors({ ...kernel, r }, 'default', createRandom(seed, 'init', kernel.path)),
  }));
  return keep(model, { adapted: new AdaptedModel(tf, model, factors), settings });
}

/**
 * Adds the updates to the kernels and restores the model, which is then an ordinary one: save it
 * with `model.save`. Compile it again before training it further.
 */
export function mergeLora(model: tf.LayersModel): tf.LayersModel {
  appliedTo(model).adapted.merge();
  applied.delete(model);
  return model;
}

/** Takes the updates off again: the model is as it was before `applyLora`. */
export function removeLora(model: tf.LayersModel): tf.LayersModel {
  appliedTo(model).adapted.detach();
  applied.delete(model);
  return model;
}

/** The adapter as the two files of PEFT, to be stored or downloaded. */
export async function saveAdapter(model: tf.LayersModel): Promise<AdapterFiles> {
  const { adapted, settings } = appliedTo(model);
  const modules = [];
  for (const { kernel, r, lora_alpha, A, B } of adapted.adapted) {
    const [a, b] = await Promise.all([A.read().data(), B.read().data()]);
    const { path, kind, in_features, out_features } = kernel;
    const factors = { A: a as Float32Array, B: b as Float32Array };
    modules.push({ path, kind, r, lora_alpha, in_features, out_features, ...factors });
  }
  const { config, weights } = writeAdapterFiles(modules, settings);
  return { 'adapter_config.json': config, 'adapter_model.safetensors': weights };
}

/**
 * Puts a saved adapter on a model, to be used, trained further or merged.
 *
 * @throws Error naming the key or tensor that does not fit the model; the model is unchanged then.
 */
export function loadAdapter(model: tf.LayersModel, files: AdapterFiles): Lora {
  refuseAdapted(model);
  const { settings, modules } = readAdapterFiles({
    config: files['adapter_config.json'],
    weights: files['adapter_model.safetensors'],
  });
  const kernels = kernelsOf(model);
  const factors = [...modules].map(([path, { r, lora_alpha, scaling, A, B }]) => {
    const kernel = kernels.find((own) => own.path === path);
    if (!kernel) throw new Error(`The model has no layer ${path} that could be adapted.`);
    if (A.shape[1] !== kernel.in_features || B.shape[0] !== kernel.out_features)
      throw new Error(
        `The factors of ${path} are for ${A.shape[1]!} x ${B.shape[0]!}, but its kernel is ${kernel.in_features} x ${kernel.out_features}.`,
      );
    return { kernel, r, scaling, lora_alpha, A: A.data, B: B.data };
  });
  return keep(model, { adapted: new AdaptedModel(tf, model, factors), settings });
}

function keep(model: tf.LayersModel, own: Applied): Lora {
  applied.set(model, own);
  const { adapted } = own.adapted;
  return {
    modules: adapted.map(({ kernel }) => kernel.path),
    trainable_parameters: adapted.reduce(
      (sum, { r, kernel }) => sum + r * (kernel.in_features + kernel.out_features),
      0,
    ),
  };
}

function refuseAdapted(model: tf.LayersModel): void {
  if (applied.has(model))
    throw new Error('The model has an adapter already: call mergeLora or removeLora first.');
}

function appliedTo(model: tf.LayersModel): Applied {
  const own = applied.get(model);
  if (!own) throw new Error('The model has no adapter: call applyLora first.');
  return own;
}

function chosen(kernels: readonly Kernel[], targets: 'all-linear' | readonly string[]): Kernel[] {
  if (targets !== 'all-linear') {
    const unknown = targets.find((name) => !kernels.some((kernel) => isNamed(kernel, name)));
    if (unknown !== undefined)
      throw new Error(
        `"${unknown}" is no layer of this model that can be adapted: ${[...new Set(kernels.map(({ layer }) => layer))].join(', ')}.`,
      );
  }
  const found =
    targets === 'all-linear'
      ? kernels.filter(({ kind }) => kind === 'linear')
      : kernels.filter((kernel) => targets.some((name) => isNamed(kernel, name)));
  if (found.length === 0) throw new Error('The model has no layer that can be adapted.');
  return found;
}
