import { constants } from 'node:fs';
import { lstat, open, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { RUNS_FOLDER } from '../shared/run';
import { FileRefused, refuseOtherKinds } from './regularFile';

// The folders of runs and models may be untrusted, with links that lead anywhere. What is
// written, renamed or removed in them stays in them.

const LORA_FOLDER = RUNS_FOLDER.split('/')[0]!;

// Windows has neither.
const { O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants as Partial<typeof constants>;

/**
 * Refuses a path that leads through a link: .lora and everything below it may be none, nor may
 * anything below `root`, including the path itself. Parts that do not exist are allowed.
 *
 * @throws FileRefused that names the link, or a path that is not in `root`; the file system's error
 */
export async function refuseLinks(target: string, root?: string): Promise<void> {
  const absolute = path.resolve(target);
  const top = parentOfLora(absolute) ?? (root === undefined ? null : path.resolve(root));
  if (top === null) return;
  const inside = path.relative(top, absolute);
  if (inside === '') return;
  if (leavesFolder(inside)) throw new FileRefused(`${absolute} is not in ${top}`);
  let place = top;
  for (const name of inside.split(path.sep)) {
    place = path.join(place, name);
    const info = await lstat(place).catch(unlessMissing);
    if (info === null) return;
    if (info.isSymbolicLink())
      throw new FileRefused(`${place} is a link, and links are not followed here`);
  }
}

/** Whether a relative path leads out of the folder that it starts from. */
const leavesFolder = (relative: string): boolean =>
  path.isAbsolute(relative) || relative.split(path.sep)[0] === '..';

/** The folder that contains the first .lora of a path; null: the path is in none. */
function parentOfLora(absolute: string): string | null {
  const parts = absolute.split(path.sep);
  const at = parts.indexOf(LORA_FOLDER);
  return at < 1 ? null : parts.slice(0, at).join(path.sep) || path.sep;
}

function unlessMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

/**
 * Opens a regular file for reading and for writing at its end; creates it if it is missing.
 *
 * @throws FileRefused as `refuseLinks` does, and for anything but a regular file; the file system's
 *   error
 */
export async function openForAppending(
  file: string,
  root = path.dirname(file),
  mode = 0o666,
): Promise<FileHandle> {
  await refuseLinks(file, root);
  const before = await lstat(file).catch(unlessMissing);
  // a named pipe without a reader would be reported as a missing disk
  if (before) refuseOtherKinds(before);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND;
  const handle = await open(file, flags | O_NOFOLLOW | O_NONBLOCK, mode);
  try {
    refuseOtherKinds(await handle.stat());
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Removes a file, folder or link below `root`; a link itself, not what it leads to. Does nothing
 * where there is none.
 *
 * @throws FileRefused as `refuseLinks` does; the file system's error
 */
export async function removeWithin(target: string, root?: string): Promise<void> {
  await refuseLinks(path.dirname(target), root);
  await rm(target, { recursive: true, force: true, maxRetries: 3 });
}
