import { stat } from 'node:fs/promises';
import path from 'node:path';
import { throwIfCancelled } from '../../common/cancellation';
import { cachedHash } from '../../common/hashCache';
import { detectAdapter, adapterFiles } from '../../formats/adapterFormat';
import type { BaseModel } from '../../formats/baseModel';
import type { HashedFile } from './certificate';

/**
 * The hashes of the base's weight files and of the adapters' files. A large file that has been
 * hashed before and is unchanged since is not read again.
 *
 * @param cache Where hashes are kept; missing: in the user's cache.
 * @throws LoraError('cancelled').
 */
export async function hashInputs(
  base: Pick<BaseModel, 'weight_files'>,
  adapters: readonly string[],
  {
    signal,
    onProgress,
    cache,
  }: {
    readonly signal: AbortSignal;
    readonly onProgress: (fraction: number) => void;
    readonly cache?: string;
  },
): Promise<HashedFile[]> {
  const own = await Promise.all(
    adapters.map(async (place) => adapterFiles(await detectAdapter(path.resolve(place)))),
  );
  const files = [...base.weight_files, ...own.flat()];
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  const total = sizes.reduce((a, b) => a + b, 0);
  let done = 0;
  const onBytes = (count: number) => {
    throwIfCancelled(signal);
    done += count;
    onProgress(done / total);
  };
  const hashed: HashedFile[] = [];
  for (const file of files) {
    hashed.push({ file, sha256: await cachedHash(file, { onBytes }, cache) });
  }
  return hashed;
}
