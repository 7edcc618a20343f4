import path from 'node:path';
import { isNamed } from '../../common/fileStatus';
import { LoraError, type ErrorArea } from '../../shared/errors';
import { readJsonObject } from '../json';
import { SafetensorsFile } from './read';

/** The file of each tensor. */
type Placed = ReadonlyMap<string, SafetensorsFile>;

/** The open weight files of a folder. */
export interface Shards {
  /** The file of each tensor, by the name that it is stored under. */
  readonly placed: Placed;
  /** Sorted by name. */
  readonly files: readonly SafetensorsFile[];
  readonly close: () => Promise<void>;
}

/** The names of the weight files of a folder. */
export interface ShardedWeights {
  readonly area: Extract<ErrorArea, 'base' | 'adapter'>;
  /** The only file. */
  readonly single: string;
  /** The index of several. */
  readonly index: string;
  /** What to do when a file is damaged or missing. */
  readonly again: string;
}

/**
 * Opens the single file, or all files of the index, which counts when there are both. Close the
 * result.
 *
 * @throws LoraError when a file or a tensor is missing or a header is not valid.
 */
export async function openShardsOf(folder: string, weights: ShardedWeights): Promise<Shards> {
  const index = path.join(folder, weights.index);
  const listed = (await isNamed(index)) ? await readIndex(index, weights) : null;
  const shards = new Map<string, SafetensorsFile>();
  const close = async () => {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
  };
  try {
    for (const name of listed ? [...new Set(listed.values())].sort() : [weights.single])
      shards.set(name, await openShard(folder, name, weights));
    return {
      placed: listed
        ? placeByIndex(listed, shards, { index, weights })
        : placeAll(shards.get(weights.single)!),
      files: [...shards.values()],
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The names of the files in the index of a folder, sorted.
 *
 * @throws LoraError when the index is not valid.
 */
export async function shardNames(
  folder: string,
  weights: ShardedWeights,
): Promise<readonly string[]> {
  const listed = await readIndex(path.join(folder, weights.index), weights);
  return [...new Set(listed.values())].sort();
}

/**
 * The index's weight_map: the file of each tensor. Only plain names are accepted, so that a
 * downloaded index cannot make the program read files outside of the folder.
 */
async function readIndex(
  index: string,
  { area, again }: ShardedWeights,
): Promise<Map<string, string>> {
  const { weight_map } = await readJsonObject(index, area);
  if (typeof weight_map !== 'object' || weight_map === null)
    throw new LoraError(area, 'The index has no weight_map.', {
      place: { file: index },
      fix: again,
    });
  return new Map(
    Object.entries(weight_map).map(([tensor, file]) => {
      if (isPlainName(file)) return [tensor, file];
      throw new LoraError(
        area,
        `The index names the file ${JSON.stringify(file)}, which is not a safetensors file in the ${nounOf(area)}'s folder.`,
        { place: { file: index, tensor }, fix: again },
      );
    }),
  );
}

const nounOf = (area: ShardedWeights['area']) => (area === 'base' ? 'model' : 'adapter');

const isPlainName = (file: unknown): file is string =>
  typeof file === 'string' &&
  path.basename(file) === file &&
  !file.includes('\\') &&
  /^[^.].*\.safetensors$/.test(file);

async function openShard(
  folder: string,
  name: string,
  { area, again }: ShardedWeights,
): Promise<SafetensorsFile> {
  const file = path.join(folder, name);
  if (!(await isNamed(file)))
    throw new LoraError(area, `A part of the ${nounOf(area)} is missing.`, {
      place: { file },
      fix: again,
    });
  return SafetensorsFile.open(file, area);
}

function placeByIndex(
  listed: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, SafetensorsFile>,
  { index, weights }: { readonly index: string; readonly weights: ShardedWeights },
): Placed {
  return new Map(
    [...listed].map(([tensor, name]) => {
      const shard = shards.get(name);
      if (!shard?.tensors.has(tensor))
        throw new LoraError(
          weights.area,
          `The index says that the tensor is in ${name}, but it is not there.`,
          { place: { file: index, tensor }, fix: weights.again },
        );
      return [tensor, shard];
    }),
  );
}

const placeAll = (file: SafetensorsFile): Placed =>
  new Map([...file.tensors.keys()].map((name) => [name, file]));
