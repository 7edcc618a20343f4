import { stat } from 'node:fs/promises';
import { filesIn } from '../data/dataset/sources';

/**
 * The files of a dataset: those with rows in a folder, else the file itself.
 *
 * @throws LoraError('dataset') for a folder without rows
 */
export async function rowFiles(
  file: string,
): Promise<readonly { readonly path: string; readonly bytes: number }[]> {
  const files = (await isFolder(file)) ? await filesIn(file) : [file];
  return Promise.all(files.map(async (own) => ({ path: own, bytes: await bytesOf(own) })));
}

const isFolder = (file: string): Promise<boolean> =>
  stat(file).then(
    (info) => info.isDirectory(),
    () => false,
  );

const bytesOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );
