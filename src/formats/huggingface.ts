import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { checkTensors } from './architecture/checkTensors';
import { canonicalNames } from './architecture/names';
import { isPackedIn, readSpec, type ReadSpecOptions } from './architecture/readSpec';
import type { Spec } from './architecture/spec';
import { refuseQuantisedTensors, refuseUnusedTensors } from './architecture/unusedTensors';
import { isNamed } from '../common/fileStatus';
import { readFolderTokenizer } from './folderTokenizer';
import { hubNameOfPath } from './hub/hubName';
import { withoutFolders } from './hub/publishedBase';
import { readJsonObject } from './json';
import { refuseOtherPooling } from './pooling';
import { refuseUntiedOutput, withStoredOutput } from './tiedOutput';
import { countParameters, type TensorInfo } from './tensorInfo';
import { unstacked } from './unstacked';
import { unpacked, unpackedNames } from './mxfp4';
import { QUANTIZED_DTYPES, quantizedTensorsOf } from './quantized/checkpoint';
import { refuseUndescribed } from './quantized/packed';
import { withQuantized } from './quantized/source';
import { quantizedWhileLoading } from './quantized/whileLoading';
import { type PartSource, type WeightSource, withReplaced } from './weightSource';
import { openShardsOf, type ShardedWeights, type Shards } from './safetensors/shards';
import type { BaseModel, TokenizerFiles } from './baseModel';

/** File names of a model folder. */
export const CONFIG = 'config.json';
export const SINGLE = 'model.safetensors';
export const INDEX = 'model.safetensors.index.json';
const AGAIN = 'Download the model again, all of its files.';

/**
 * Opens a Hugging Face model folder: config.json and model.safetensors, single or sharded. Reads
 * headers only. Close the result.
 *
 * @throws LoraError('base') naming file, tensor or key.
 */
export async function openFolderBase(
  folder: string,
  options: ReadSpecOptions = {},
): Promise<BaseModel> {
  const configFile = path.join(folder, CONFIG);
  if (!(await isNamed(configFile))) throw await noConfig(folder);
  const config = await readJsonObject(configFile, 'base');
  const described = readSpec(config, configFile, options);
  if (options.task === 'embedding') await refuseOtherPooling(folder);
  const stored = await openWeights(folder);
  const spec = withStoredOutput(described, stored.tensors);
  const isPacked = isPackedIn(config, spec);
  const own = await checked(() => {
    const named = underNames(stored, canonicalNames(stored.tensors.keys(), spec));
    return Promise.resolve(isPacked ? unpacked(named, folder) : named);
  }, stored);
  const weights = withReplaced({ ...unstacked(own, spec), files: stored.files }, options.replaced);
  const missing = await checked(async () => {
    const stored_names = stored.tensors.keys();
    const names = isPacked ? unpackedNames(stored_names) : [...stored_names];
    refuseUndescribed(stored.placed.keys(), config, configFile);
    refuseQuantisedTensors(names, folder);
    const found = checkTensors(weights.tensors, spec, folder, options.new_head);
    refuseUnusedTensors(names, spec, folder);
    await refuseUntiedOutput(stored.placed, spec, folder);
    return found;
  }, weights);
  const used = await checked(
    () => Promise.resolve().then(() => quantizedIfAsked(weights, spec, folder, options)),
    weights,
  );
  return {
    spec,
    missing,
    replaced: new Set(options.replaced?.keys()),
    path: folder,
    name: nameOf(folder, config),
    hub: hubNameOfPath(folder),
    format: 'safetensors',
    config,
    weights: used,
    weight_files: used.files,
    parameters: countParameters(used.tensors),
    readTokenizer: () => readTokenizerFor(spec, folder),
    close: () => used.close(),
  };
}

/** An encoder-decoder reads one text: a chat template has no meaning for it. */
async function readTokenizerFor(spec: Spec, folder: string): Promise<TokenizerFiles> {
  const files = await readFolderTokenizer(folder);
  return spec.source ? { ...files, chat_template: null } : files;
}

/** @throws LoraError('base') when it is quantized already */
function quantizedIfAsked<S extends WeightSource>(
  weights: S,
  spec: Spec,
  folder: string,
  { quantize }: ReadSpecOptions,
): S {
  if (!quantize) return weights;
  const stored = [...weights.tensors.values()].find(({ dtype }) => QUANTIZED_DTYPES.has(dtype));
  if (stored)
    throw new LoraError('base', 'The base is quantized already.', {
      place: { file: folder, tensor: stored.name },
      fix: 'Remove training.quantize (--quantize): "base_dtype": "quantized" keeps the base as it is stored.',
    });
  return withQuantized(weights, quantizedWhileLoading(weights, spec, quantize, folder));
}

async function checked<T>(check: () => Promise<T>, weights: WeightSource): Promise<T> {
  try {
    return await check();
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** The same tensors under other names; `names`: new name to stored name. */
function underNames(source: PartSource, names: ReadonlyMap<string, string>): PartSource {
  return {
    tensors: new Map(
      [...names].map(([name, stored]): [string, TensorInfo] => [
        name,
        { ...source.tensors.get(stored)!, name },
      ]),
    ),
    readF32: (name, target) => source.readF32(names.get(name) ?? name, target),
    readBF16: (name, target) => source.readBF16(names.get(name) ?? name, target),
    blocksOf: (name) => source.blocksOf?.(names.get(name) ?? name) ?? null,
    readPart: (name, from, count) => source.readPart(names.get(name) ?? name, from, count),
    readBytes: (name, from, length) => source.readBytes(names.get(name) ?? name, from, length),
    close: () => source.close(),
  };
}

/** The name in the Hub cache, else that in its config, else that of its folder. */
function nameOf(folder: string, { _name_or_path: own }: Readonly<Record<string, unknown>>): string {
  const cached = hubNameOfPath(folder);
  if (cached !== null) return cached;
  return typeof own === 'string' && own ? withoutFolders(own) : path.basename(path.resolve(folder));
}

async function noConfig(folder: string): Promise<LoraError> {
  const names = await readdir(folder).catch((): string[] => []);
  const gguf = names.filter((name) => name.endsWith('.gguf')).sort();
  const place = { file: folder };
  if (gguf[0] !== undefined)
    return new LoraError('base', `The folder is not a model, but it holds ${gguf.join(', ')}.`, {
      place,
      fix: `Name the file, such as ${path.join(folder, gguf[0])}.`,
    });
  if (names.includes('adapter_config.json'))
    return new LoraError('base', 'The folder holds an adapter, not a base model.', {
      place,
      fix: 'Name the base model that the adapter belongs to.',
    });
  if (names.includes('snapshots'))
    return new LoraError('base', 'The folder is an entry of the Hub cache, not a model.', {
      place,
      fix: 'Name a folder below its snapshots folder.',
    });
  return new LoraError('base', `The folder is not a model: it has no ${CONFIG}.`, {
    place,
    fix: 'Name a Hugging Face model folder or a .gguf file.',
  });
}

const WEIGHTS: ShardedWeights = { area: 'base', single: SINGLE, index: INDEX, again: AGAIN };

/**
 * Opens model.safetensors, or all files of the index. Close the result.
 *
 * @throws LoraError('base') when a file or a tensor is missing or a header is not valid.
 */
export async function openShards(folder: string): Promise<Shards> {
  const hasWeights =
    (await isNamed(path.join(folder, INDEX))) || (await isNamed(path.join(folder, SINGLE)));
  if (!hasWeights) throw await noWeights(folder);
  return openShardsOf(folder, WEIGHTS);
}

type FolderWeights = PartSource & {
  readonly files: readonly string[];
  readonly placed: Shards['placed'];
};

async function openWeights(folder: string): Promise<FolderWeights> {
  const { placed, files, close } = await openShards(folder);
  try {
    const { tensors, parts } = await quantizedTensorsOf({ placed }, folder);
    const others = new Map([...placed].filter(([name]) => !parts.has(name)));
    const source = { ...sourceOf(others, folder), close };
    const whole = withQuantized(source, tensors);
    const readPart: PartSource['readPart'] = async (name, from, count) =>
      tensors.has(name)
        ? (await whole.readF32(name)).slice(from, from + count)
        : source.readPart(name, from, count);
    return { ...whole, readPart, placed, files: files.map(({ file }) => file) };
  } catch (error) {
    await close();
    throw error;
  }
}

async function noWeights(folder: string): Promise<LoraError> {
  const names = await readdir(folder).catch((): string[] => []);
  const pickle = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  const sharded = names.find((name) => name.endsWith('.safetensors'));
  const place = { file: folder };
  if (pickle)
    return new LoraError(
      'base',
      `The folder is not a complete model: its weights exist only as ${pickle}, a pickle, which is not read because it can run code.`,
      { place, fix: 'Use a version of the model in safetensors, or convert it.' },
    );
  const what = sharded ? `holds ${sharded}, but` : 'has';
  return new LoraError(
    'base',
    `The folder is not a complete model: it ${what} neither ${SINGLE} nor ${INDEX}.`,
    { place, fix: AGAIN },
  );
}

function sourceOf(placed: Shards['placed'], folder: string): Omit<PartSource, 'close'> {
  const fileOf = (name: string) => {
    const file = placed.get(name);
    if (!file)
      throw new LoraError('base', 'The model does not have this tensor.', {
        place: { file: folder, tensor: name },
      });
    return file;
  };
  return {
    tensors: new Map(
      [...placed].map(([name, file]): [string, TensorInfo] => {
        const { dtype, shape } = file.tensors.get(name)!;
        return [name, { name, dtype, shape }];
      }),
    ),
    readF32: async (name, target) => fileOf(name).readF32(name, target),
    readBF16: async (name, target) => fileOf(name).readBF16(name, target),
    readPart: async (name, from, count) => fileOf(name).readPart(name, from, count),
    readBytes: async (name, from, length) => fileOf(name).readSlice(name, from, length),
  };
}
