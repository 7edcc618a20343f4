import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { isNamed } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import type { StoredTensor } from '../safetensors/header';
import { openShardsOf, shardNames, type ShardedWeights } from '../safetensors/shards';
import { INDEX_FILE, SHARD, WEIGHTS_FILE } from './fileNames';

const AGAIN = 'Copy or download the folder again.';
const WEIGHTS: ShardedWeights = {
  area: 'adapter',
  single: WEIGHTS_FILE,
  index: INDEX_FILE,
  again: AGAIN,
};

/** The tensors of an adapter, from one file or several. */
export interface AdapterWeights {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The file of a tensor. */
  readonly fileOf: (tensor: string) => string;
  /** Of the header of the first file. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly readF32: (tensor: string) => Promise<Float32Array>;
}

/** Whether a folder holds an adapter's weights in safetensors. */
export const hasWeights = async (folder: string): Promise<boolean> =>
  (await isNamed(path.join(folder, WEIGHTS_FILE))) ||
  (await isNamed(path.join(folder, INDEX_FILE)));

/**
 * The names of an adapter's weight files, with that of their index.
 *
 * @throws LoraError('adapter') when the index is not valid.
 */
export async function weightFiles(folder: string): Promise<readonly string[]> {
  if (!(await isNamed(path.join(folder, INDEX_FILE)))) return [WEIGHTS_FILE];
  return [INDEX_FILE, ...(await shardNames(folder, WEIGHTS))];
}

/**
 * Opens an adapter's weights, passes them to `use`, and closes them.
 *
 * @throws LoraError('adapter') when there are none, a file is damaged, or they contradict their
 *   index.
 */
export async function withAdapterWeights<T>(
  folder: string,
  use: (weights: AdapterWeights) => Promise<T>,
): Promise<T> {
  if (!(await hasWeights(folder))) throw await noWeights(folder);
  await refuseBoth(folder);
  const { placed, files, close } = await openShardsOf(folder, WEIGHTS);
  try {
    for (const { file, tensors } of files)
      for (const tensor of tensors.keys()) {
        if (placed.get(tensor)?.file === file) continue;
        throw new LoraError('adapter', `The tensor is in this file, but not by ${INDEX_FILE}.`, {
          place: { file, tensor },
          fix: AGAIN,
        });
      }
    return await use({
      tensors: new Map([...placed].map(([name, { tensors }]) => [name, tensors.get(name)!])),
      metadata: files[0]?.header.metadata ?? {},
      fileOf: (tensor) => placed.get(tensor)?.file ?? files[0]?.file ?? folder,
      readF32: (tensor) => placed.get(tensor)!.readF32(tensor),
    });
  } finally {
    await close();
  }
}

async function refuseBoth(folder: string): Promise<void> {
  const index = path.join(folder, INDEX_FILE);
  if (!(await isNamed(index)) || !(await isNamed(path.join(folder, WEIGHTS_FILE)))) return;
  if ((await shardNames(folder, WEIGHTS)).includes(WEIGHTS_FILE)) return;
  throw new LoraError(
    'adapter',
    `The folder holds both ${WEIGHTS_FILE} and ${INDEX_FILE}, so it is not clear which the adapter is.`,
    { place: { file: folder }, fix: 'Remove the one that is left from an earlier version.' },
  );
}

async function noWeights(folder: string): Promise<LoraError> {
  const names = await readdir(folder).catch((): string[] => []);
  const place = { file: folder };
  if (names.some((name) => SHARD.test(name)))
    return new LoraError('adapter', `The adapter has no ${INDEX_FILE}, which lists its parts.`, {
      place,
      fix: AGAIN,
    });
  if (names.includes('adapter_model.bin'))
    return new LoraError(
      'adapter',
      "The adapter's weights exist only as adapter_model.bin, a pickle, which is not read because it can run code.",
      { place, fix: 'Save the adapter again in safetensors.' },
    );
  return new LoraError('adapter', `The adapter has no ${WEIGHTS_FILE}.`, { place, fix: AGAIN });
}
