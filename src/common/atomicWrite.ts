import { randomBytes } from 'node:crypto';
import {
  link,
  open,
  readdir,
  realpath,
  rename,
  rm,
  rmdir,
  type FileHandle,
} from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { LoraError } from '../shared/errors';
import { pathExists, writeErrorReason } from './fileStatus';
import { makeFolder } from './makeFolder';
import { refuseLinks } from './withoutLinks';

/** Below the 2 GiB that one system call can write. */
const MAX_WRITE_BYTES = 1 << 30;

/** Windows refuses to rename what a virus scanner or an editor holds open for a moment. */
const HELD_OPEN = new Set(['EPERM', 'EACCES', 'EBUSY']);
const PAUSES_MS = [10, 30, 100, 300, 1000];

/** The text of an error, from the reason why the file cannot be written. */
type DescribeFailure = (reason: string) => { readonly message: string; readonly fix?: string };

/** What a file is written with: its text, or a function that writes it. */
type Content = string | ((handle: FileHandle) => Promise<void>);

/** Writes a file as a whole: `replaceFile` or `createFile`. */
export type WriteFile = (file: string, content: Content) => Promise<void>;

/** Fills a folder as a whole: `replaceFolder` or `createFolder`. */
export type WriteFolder = (folder: string, fill: (temp: string) => Promise<void>) => Promise<void>;

/**
 * Writes a file under a temporary name beside it, flushes it, then renames it. On failure the old
 * file stays and the temporary one is removed.
 *
 * @throws LoraError('disk') with the text of `describeFailure`; a LoraError of `content` as it is.
 */
export async function replaceFile(
  file: string,
  content: Content,
  describeFailure: DescribeFailure = describeFailureOf('file'),
): Promise<void> {
  await refuseLinksTo(file, describeFailure);
  try {
    await writeBeside(file, content, (temp) => withRetries(() => rename(temp, file)));
  } catch (error) {
    throw diskError(error, file, describeFailure);
  }
}

/**
 * Writes a new file as `replaceFile` does, but never over another one, even if that appears while
 * this one is written.
 *
 * @throws LoraError('disk'), LoraError('usage') when the file exists at the end.
 */
export async function createFile(file: string, content: Content): Promise<void> {
  await refuseLinksTo(file, describeFailureOf('file'));
  try {
    await writeBeside(file, content, (temp) => moveToNew(temp, file));
  } catch (error) {
    throw diskError(error, file, describeFailureOf('file'));
  }
}

/** Writes a temporary file beside the final one and moves it; removes it on failure. */
async function writeBeside(
  file: string,
  content: Content,
  move: (temp: string) => Promise<void>,
): Promise<void> {
  const unique = `${randomBytes(4).toString('hex')}.${process.pid}`;
  const temp = path.join(path.dirname(file), `.${path.basename(file)}.${unique}.tmp`);
  try {
    const handle = await open(temp, 'wx');
    try {
      await (typeof content === 'string' ? handle.writeFile(content) : content(handle));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await move(temp);
  } catch (error) {
    await removeQuietly(temp);
    throw error;
  }
}

/**
 * Moves a complete file to a name that nothing has, in one step where the disk has hard links.
 *
 * @throws LoraError('usage') when something has that name.
 */
async function moveToNew(temp: string, file: string): Promise<void> {
  const isLinked = await link(temp, file).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'EEXIST') throw taken(error, file);
      return false;
    },
  );
  if (isLinked) return withRetries(() => rm(temp));
  await takeName(file);
  try {
    await withRetries(() => rename(temp, file));
  } catch (error) {
    await removeQuietly(file);
    throw error;
  }
}

/** @throws LoraError('usage') when something has the name already. */
async function takeName(file: string): Promise<void> {
  try {
    await (await open(file, 'wx')).close();
  } catch (error) {
    throw codeOf(error) === 'EEXIST' ? taken(error, file) : error;
  }
}

/**
 * Replaces a file by an indented JSON document.
 *
 * @throws LoraError('disk'); the old file stays.
 */
export const writeJson = (file: string, value: unknown): Promise<void> =>
  replaceFile(file, `${JSON.stringify(value, null, 2)}\n`);

/**
 * Fills a folder under a temporary name beside the final one, then renames it. An existing folder
 * stays until the new one is complete.
 *
 * @throws LoraError('disk'), the old folder in its place; a LoraError of `fill` as it is.
 */
export async function replaceFolder(
  folder: string,
  fill: (temp: string) => Promise<void>,
): Promise<void> {
  const temp = `${folder}.${process.pid}.tmp`;
  const old = `${folder}.${process.pid}.old`;
  await refuseLinksTo(folder, describeFailureOf('folder'));
  try {
    await makeEmptyFolder(temp);
    await fill(temp);
    if (await pathExists(folder)) await withRetries(() => rename(folder, old));
    await withRetries(() => rename(temp, folder));
  } catch (error) {
    await removeQuietly(temp);
    if (!(await pathExists(folder))) await rename(old, folder).catch(() => undefined);
    throw diskError(error, folder, describeFailureOf('folder'));
  }
  await removeQuietly(old);
}

/**
 * Fills a new folder as `replaceFolder` does, but never in place of another one that has files,
 * even if that appears while this one is filled.
 *
 * @throws LoraError('disk'), LoraError('usage') when the folder exists at the end; a LoraError of
 *   `fill` as it is.
 */
export async function createFolder(
  folder: string,
  fill: (temp: string) => Promise<void>,
): Promise<void> {
  const target = await realpath(folder).catch(() => folder); // of a link to an empty folder
  const temp = `${target}.${process.pid}.tmp`;
  await refuseLinksTo(target, describeFailureOf('folder'));
  try {
    await makeEmptyFolder(temp);
    await fill(temp);
    await moveFolderToNew(temp, target);
  } catch (error) {
    await removeQuietly(temp);
    throw diskError(error, folder, describeFailureOf('folder'));
  }
}

/** @throws LoraError('usage') when something but an empty folder has that name. */
async function moveFolderToNew(temp: string, folder: string): Promise<void> {
  try {
    await withRetries(() => rmdir(folder)).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error;
    });
    await withRetries(() => rename(temp, folder));
  } catch (error) {
    throw (await pathExists(folder)) ? taken(error, folder) : error;
  }
}

/**
 * Fills a temporary folder, then moves its contents into the folder of `file`, which must not exist
 * at the end.
 *
 * @throws LoraError('disk'), LoraError('usage') when the file exists, nothing moved; a LoraError of
 *   `fill` as it is.
 */
export async function createFileWithCompanions(
  file: string,
  fill: (temp: string) => Promise<void>,
): Promise<void> {
  const temp = `${file}.${process.pid}.tmp`;
  const moved: string[] = [];
  await refuseLinksTo(file, describeFailureOf('file'));
  try {
    await makeEmptyFolder(temp);
    await fill(temp);
    const main = path.basename(file);
    await moveToNew(path.join(temp, main), file);
    moved.push(file);
    for (const name of await readdir(temp)) {
      const target = path.join(path.dirname(file), name);
      await withRetries(() => rename(path.join(temp, name), target));
      moved.push(target);
    }
  } catch (error) {
    for (const target of moved) await removeQuietly(target);
    throw diskError(error, file, describeFailureOf('file'));
  } finally {
    await removeQuietly(temp);
  }
}

/**
 * Repeats an action for about a second and a half while another process holds its target open; on
 * other systems than Windows the first error is final.
 *
 * @throws the action's error.
 */
export async function withRetries<T>(
  action: () => Promise<T>,
  platform: NodeJS.Platform = process.platform,
): Promise<T> {
  for (const pause of platform === 'win32' ? PAUSES_MS : []) {
    try {
      return await action();
    } catch (error) {
      if (!HELD_OPEN.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      await setTimeout(pause);
    }
  }
  return action();
}

/** Writes all bytes at the handle's position, in as many system calls as it takes. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(MAX_WRITE_BYTES, bytes.length - done);
    done += (await handle.write(bytes, done, length)).bytesWritten;
  }
}

async function makeEmptyFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await makeFolder(folder);
}

/** The file itself may be a link: it is replaced, not followed. @throws LoraError('disk') */
const refuseLinksTo = (file: string, describeFailure: DescribeFailure): Promise<void> =>
  refuseLinks(path.dirname(file)).catch((error: unknown) => {
    throw diskError(error, file, describeFailure);
  });

const removeQuietly = (file: string): Promise<void> =>
  rm(file, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);

const describeFailureOf =
  (kind: 'file' | 'folder'): DescribeFailure =>
  (reason) => ({ message: `The ${kind} could not be written: ${reason}.` });

function diskError(cause: unknown, file: string, describeFailure: DescribeFailure): LoraError {
  if (cause instanceof LoraError) return cause;
  const { message, fix } = describeFailure(writeErrorReason(cause));
  return new LoraError('disk', message, {
    place: { file },
    cause,
    ...(fix !== undefined && { fix }),
  });
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException | null)?.code ?? '';

/** The error of a move to a name that another file or folder has by now. */
const taken = (cause: unknown, file: string): LoraError =>
  new LoraError(
    'usage',
    'Something with the name of the output appeared in the meantime, and is left as it is.',
    { place: { file }, fix: 'Choose a folder or file that does not exist.', cause },
  );
