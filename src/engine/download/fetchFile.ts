import { createHash } from 'node:crypto';
import { lstat, rename, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { withRetries } from '../../common/atomicWrite';
import { throwIfCancelled } from '../../common/cancellation';
import { writeErrorReason } from '../../common/fileStatus';
import { hashFile } from '../../common/hashFile';
import { openForAppending, removeWithin } from '../../common/withoutLinks';
import { LoraError } from '../../shared/errors';
import { requestHubFile } from './hub';
import { bodyOf, type Hub } from './hubFetch';
import { hubFileSize, type HubFile } from './plan';
import { Stalled } from '../../common/steadyBody';

/** Its name in the folder that it is written to, which is its own one of the repository. */
const nameOf = (file: HubFile): string => path.posix.basename(file.path);

/** The bytes of a file that an interrupted download left. */
export const partialBytes = (file: HubFile, folder: string): Promise<number> =>
  bytesIn(partialFile(file, folder));

const partialFile = (file: HubFile, folder: string): string =>
  path.join(folder, `.${nameOf(file)}.part`);

const bytesIn = (file: string): Promise<number> =>
  lstat(file).then(
    (info) => (info.isFile() ? info.size : 0),
    () => 0,
  );

/**
 * Whether the folder has the file already, with the right checksum.
 * @throws LoraError('base') when the folder has a different file of this name, which stays.
 */
export async function isDownloaded(file: HubFile, folder: string): Promise<boolean> {
  const target = path.join(folder, nameOf(file));
  if (await matchesHub(target, file)) {
    return true;
  }
  if ((await lstat(target).catch(() => null)) === null) {
    return false;
  }
  throw new LoraError('base', 'The file exists already, but differs from the one on the Hub.', {
    place: { file: target },
    fix: 'Choose another folder, or move the file away.',
  });
}

/**
 * Downloads a file, or resumes its download, and verifies its checksum; an incomplete file keeps
 * another name. `onBytes` gets the number of bytes since its last call; the first
 * call counts those that were downloaded before.
 * @throws LoraError('base') when the download fails or the checksum differs; 'cancelled'.
 */
export async function fetchFile(
  hub: Hub,
  file: HubFile,
  folder: string,
  onBytes: (count: number) => void,
): Promise<void> {
  const target = path.join(folder, nameOf(file));
  const partial = partialFile(file, folder);
  await append(hub, file, partial, onBytes);
  if (!(await matchesHub(partial, file))) {
    await removeWithin(partial, folder);
    throw new LoraError(
      'base',
      'The downloaded file is not the one on the Hub: its checksum differs.',
      { place: { file: target }, fix: 'Download it again.' },
    );
  }
  await withRetries(() => rename(partial, target));
}

async function append(
  hub: Hub,
  file: HubFile,
  partial: string,
  onBytes: (count: number) => void,
): Promise<void> {
  const size = hubFileSize(file);
  const present = await bytesIn(partial);
  if (present === size && present > 0) {
    onBytes(size);
    return;
  }
  const requestedStart = present < size ? present : 0;
  const response = await requestHubFile(hub, file, requestedStart);
  const start = response.status === 206 ? requestedStart : 0;
  const handle = await openPartial(partial);
  try {
    if (start === 0) await handle.truncate(0);
    onBytes(start);
    let written = start;
    for await (const chunk of bodyOf(response, hub)) {
      written += chunk.length;
      if (written > size) {
        throw new LoraError('base', `The Hub sent more than the ${size} bytes it announced.`, {
          place: { file: partial },
        });
      }
      await handle.write(chunk);
      onBytes(chunk.length);
    }
  } catch (cause) {
    if (cause instanceof LoraError) {
      throw cause;
    }
    throwIfCancelled(hub.signal, 'The download was cancelled. The next one resumes it.');
    const reason = cause instanceof Error ? cause.message : String(cause);
    const problem = cause instanceof Stalled ? 'The Hub is too slow' : 'The connection was lost';
    throw new LoraError('base', `${problem}: ${reason}.`, {
      place: { file: partial },
      fix: 'Download it again: the download resumes where it stopped.',
      cause,
    });
  } finally {
    await handle.close();
  }
}

const openPartial = (partial: string): Promise<FileHandle> =>
  openForAppending(partial).catch((cause: unknown) => {
    throw new LoraError('disk', `The file cannot be written: ${writeErrorReason(cause)}.`, {
      place: { file: partial },
      fix: 'Remove it, or choose another folder (--output).',
      cause,
    });
  });

/** By SHA-256 for LFS files, by git's SHA-1 for others. */
async function matchesHub(file: string, hubFile: HubFile): Promise<boolean> {
  const { lfs, oid, size } = hubFile;
  const found = await stat(file).catch(() => null);
  if (!found?.isFile() || found.size !== hubFileSize(hubFile)) {
    return false;
  }
  if (lfs) {
    return (await hashFile(file)) === lfs.oid;
  }
  const hash = createHash('sha1').update(`blob ${size}\0`);
  return (await hashFile(file, { hash })) === oid;
}
