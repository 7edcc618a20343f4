import { stat } from 'node:fs/promises';
import path from 'node:path';
import { isNamed } from '../../common/fileStatus';
import { listFolder } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { hasLoraNames } from '../loraFile/tensors';
import { readJsonObject } from '../json';
import { SafetensorsFile, withSafetensors } from '../safetensors/read';
import { openShardsOf } from '../safetensors/shards';
import type { StoredTensor } from '../safetensors/header';
import { pipelineKindOf, type PipelineKind } from './kinds';
import { modelOf, pipelineModule, type PipelineModel, type PipelineModule } from './names';

/** The file that names the models of a folder of Diffusers. */
export const MODEL_INDEX = 'model_index.json';

/** A tensor of an image pipeline. */
export interface PipelineTensor {
  /** Its name in its file. */
  readonly name: string;
  readonly info: StoredTensor;
  readonly source: SafetensorsFile;
  /** The folder of its model below that of the pipeline; '' for a single file, or one model. */
  readonly folder: string;
  /** What its rows are; null: no weight that can be adapted. */
  readonly module: PipelineModule | null;
  /** Whether its columns are the module's rows. */
  readonly is_transposed: boolean;
}

/** An open image pipeline: headers are checked, weights not yet read. Close it. */
export interface PipelineBase {
  /** A .safetensors file, or a folder. */
  readonly path: string;
  readonly is_folder: boolean;
  readonly kind: PipelineKind;
  readonly tensors: readonly PipelineTensor[];
  readonly files: readonly SafetensorsFile[];
  /** Folders of the models that were opened; [''] for a single file, or one model. */
  readonly folders: readonly string[];
  close(): Promise<void>;
}

/** The models whose weights are opened, and the stem of their files. */
const STEMS: Readonly<Record<PipelineModel, string>> = {
  unet: 'diffusion_pytorch_model',
  transformer: 'diffusion_pytorch_model',
  text_encoder: 'model',
  text_encoder_2: 'model',
};
const MODELS = Object.keys(STEMS) as PipelineModel[];

/** Folders of one model, by the class in their config.json. */
const CLASSES: Readonly<Record<string, PipelineModel>> = {
  UNet2DConditionModel: 'unet',
  FluxTransformer2DModel: 'transformer',
};

/**
 * Whether a path is an image pipeline: a folder of Diffusers, that of its UNet or transformer, or a
 * .safetensors file of one. False for a path that cannot be read.
 */
export async function isPipelineBase(place: string): Promise<boolean> {
  const found = await stat(place).catch(() => null);
  if (!found) return false;
  if (found.isDirectory())
    return (await isNamed(path.join(place, MODEL_INDEX))) || (await ownModelOf(place)) !== null;
  if (!place.endsWith('.safetensors')) return false;
  return withSafetensors(place, ({ tensors }) => {
    const names = [...tensors.keys()];
    return Promise.resolve(!hasLoraNames(names) && names.some(isImageWeight));
  }).catch(() => false);
}

const isImageWeight = (name: string): boolean => {
  const module = moduleOf(name);
  return module !== null && /^(?:unet|transformer)\./.test(module.paths[0]!);
};

/**
 * The projection of OpenCLIP's texts in SDXL's checkpoints, [in, out], which Diffusers has as a
 * linear layer.
 */
const TRANSPOSED = 'conditioner.embedders.1.model.text_projection';

/** What the rows of a weight are; null for any other tensor. */
function moduleOf(name: string): PipelineModule | null {
  if (name === TRANSPOSED) return pipelineModule(name);
  const own = /^(.*)(?:\.weight|(?<=\.in_proj)_weight)$/.exec(name)?.[1];
  return own === undefined ? null : pipelineModule(own);
}

/** Whether a folder is that of one model of a pipeline; its config says which. */
async function ownModelOf(folder: string): Promise<PipelineModel | null> {
  const config = path.join(folder, 'config.json');
  if (!(await isNamed(config))) return null;
  const { _class_name: own } = await readJsonObject(config, 'base').catch(
    (): Readonly<Record<string, unknown>> => ({}),
  );
  return typeof own === 'string' && Object.hasOwn(CLASSES, own) ? CLASSES[own]! : null;
}

/**
 * Opens an image pipeline.
 *
 * @throws LoraError('base') naming the file: it is damaged, incomplete, quantized, or of a kind
 *   that is not known.
 */
export async function openPipelineBase(place: string): Promise<PipelineBase> {
  const found = await stat(place);
  const opened = found.isDirectory() ? await openFolder(place) : [await openSingle(place)];
  const tensors = opened.flatMap((own) => own.tensors);
  const files = opened.flatMap((own) => own.files);
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    refuseQuantized(tensors);
    return {
      path: place,
      is_folder: found.isDirectory(),
      kind: pipelineKindOf(tensors.flatMap(({ module }) => module?.paths ?? [])),
      tensors,
      files,
      folders: opened.map(({ folder }) => folder),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface OpenedModel {
  readonly folder: string;
  readonly files: readonly SafetensorsFile[];
  readonly tensors: readonly PipelineTensor[];
}

async function openSingle(file: string): Promise<OpenedModel> {
  const source = await SafetensorsFile.open(file, 'base');
  const tensors = [...source.tensors].map(([name, info]) => ({
    ...{ name, info, source, folder: '' },
    module: moduleOf(name),
    is_transposed: name === TRANSPOSED,
  }));
  return { folder: '', files: [source], tensors };
}

async function openFolder(folder: string): Promise<OpenedModel[]> {
  const own = await ownModelOf(folder);
  if (own !== null) return [await openModel(folder, '', own)];
  const index = path.join(folder, MODEL_INDEX);
  const listed = await readJsonObject(index, 'base');
  const models = MODELS.filter(
    (model) => Array.isArray(listed[model]) && listed[model][0] !== null,
  );
  if (!models.some((model) => model === 'unet' || model === 'transformer')) {
    const name = typeof listed['_class_name'] === 'string' ? listed['_class_name'] : 'Its class';
    throw new LoraError(
      'base',
      `The pipeline is not supported: ${name} has neither a UNet nor a transformer that is known.`,
      { place: { file: index }, fix: 'Use Stable Diffusion 1, SDXL or Flux.' },
    );
  }
  const opened: OpenedModel[] = [];
  try {
    for (const model of models) opened.push(await openModel(folder, model, model));
    return opened;
  } catch (error) {
    await Promise.all(opened.flatMap(({ files }) => files.map((file) => file.close())));
    throw error;
  }
}

async function openModel(
  pipeline: string,
  folder: string,
  model: PipelineModel,
): Promise<OpenedModel> {
  const own = path.join(pipeline, folder);
  const { placed, files } = await openShardsOf(own, await weightNames(own, STEMS[model]));
  const tensors = [...placed].map(([name, source]): PipelineTensor => {
    const info = source.tensors.get(name)!;
    const module = moduleOf(`${model}.${name}`);
    const isOwn = module !== null && modelOf(module.paths[0]!) === model;
    return {
      ...{ name, info, source, folder },
      module: isOwn ? module : null,
      is_transposed: false,
    };
  });
  return { folder, files, tensors };
}

/** The weight files of a model: those without a variant, else those of its only variant. */
async function weightNames(folder: string, stem: string) {
  const names = (await listFolder(folder)).map(({ name }) => name);
  const plain = { single: `${stem}.safetensors`, index: `${stem}.safetensors.index.json` };
  const again = 'Download the model again, all of its files.';
  const area = 'base' as const;
  if (names.includes(plain.single) || names.includes(plain.index)) return { ...plain, area, again };
  const variants = names.flatMap((name) => {
    const own = new RegExp(`^${stem}\\.(?:safetensors\\.index\\.)?(\\w+)\\.(?:safetensors|json)$`);
    return own.exec(name)?.[1] ?? [];
  });
  const [only, ...others] = new Set(variants);
  if (only !== undefined && others.length === 0) {
    const index = `${stem}.safetensors.index.${only}.json`;
    return { single: `${stem}.${only}.safetensors`, index, area, again };
  }
  const pickle = names.find((name) => /\.(?:bin|pt|pth|ckpt)$/.test(name));
  throw new LoraError(
    'base',
    others.length > 0
      ? `The model has the variants ${[...new Set(variants)].join(', ')}, and none without a variant.`
      : `The model has no ${plain.single}${pickle === undefined ? '' : `, only ${pickle}, which is not read because it can run code`}.`,
    {
      place: { file: folder },
      fix: others.length > 0 ? 'Keep one of them.' : 'Use a version of the model in safetensors.',
    },
  );
}

/** Tensors that stand for scales or blocks of quantized weights. */
const QUANTIZED =
  /\.(?:scale_weight|weight_scale(?:_inv|_2)?|absmax|quant_map|quant_state\..*|SCB|comfy_quant)$|^scaled_fp8$/;

function refuseQuantized(tensors: readonly PipelineTensor[]): void {
  const own = tensors.find(({ name }) => QUANTIZED.test(name));
  if (!own) return;
  throw new LoraError('base', 'The weights are quantized, which is not supported for images.', {
    place: { file: own.source.file, tensor: own.name },
    fix: 'Use the model in bf16, f16, f32 or plain 8 bits.',
  });
}
