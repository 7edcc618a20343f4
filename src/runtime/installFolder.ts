import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { withRetries } from '../common/atomicWrite';
import { formatSize } from '../common/formatSize';
import { makeFolder } from '../common/makeFolder';
import { freeDiskBytes, isProcessAlive } from '../common/system';
import { LoraError } from '../shared/errors';
import { holdsSameLibraries, type Manifest } from './manifest';

const HOST = hostname().replace(/\W/g, '_');

/**
 * Calls `work` with a new folder under home that `findInstalled` ignores. Removes the folder
 * afterwards, unless `work` has renamed it.
 *
 * @throws LoraError('disk') when the disk is full or home is not writable; the error of `work`.
 */
export async function inTemporaryFolder<T>(
  home: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  let folder: string | undefined;
  try {
    await makeFolder(home);
    await removeAbandoned(home);
    folder = await mkdtemp(path.join(home, `.install-${process.pid}-${HOST}-`));
    return await work(folder);
  } catch (error) {
    throw asDiskError(error, home);
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** Removes everything else from a folder. */
export async function removeAllExcept(names: readonly string[], folder: string): Promise<void> {
  const others = (await readdir(folder)).filter((name) => !names.includes(name));
  await Promise.all(others.map((name) => rm(path.join(folder, name), { recursive: true })));
}

/**
 * Renames a filled temporary folder to its final name, replacing what is there. If the same
 * libraries are already there, put there by another process, they stay.
 */
export async function moveIntoPlace(
  temp: string,
  folder: string,
  manifest: Manifest,
): Promise<void> {
  const replaced = `${temp}-replaced`;
  while (!(await holdsSameLibraries(folder, manifest))) {
    await withRetries(() => rename(folder, replaced)).catch(ignoring('ENOENT'));
    await rm(replaced, { recursive: true, force: true });
    const isMoved = await withRetries(() => rename(temp, folder)).then(
      () => true,
      ignoring('ENOTEMPTY', 'EEXIST'),
    );
    if (isMoved) return;
  }
}

/** @throws LoraError('disk') when fewer than `bytes` are free on the disk of a folder. */
export async function requireSpaceForRuntime(folder: string, bytes: number): Promise<void> {
  const free = await freeDiskBytes(folder);
  if (free >= bytes) return;
  const message = `The runtime needs ${formatSize(bytes)} on the disk of ${folder}; ${formatSize(free)} are free.`;
  throw new LoraError('disk', message, { fix: FREE_SPACE });
}

const FREE_SPACE = 'Free some disk space, then try again.';

/** Removes the folders of installations that were killed: their process has ended. */
async function removeAbandoned(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const [, pid, host] = /^\.install-(\d+)-(\w+)-/.exec(name) ?? [];
    if (host === HOST && !isProcessAlive(Number(pid)))
      await rm(path.join(home, name), { recursive: true, force: true });
  }
}

function asDiskError(error: unknown, home: string): unknown {
  const { code, path: file } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return fullDiskError(home, error);
  const isNotWritable = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
  if (isNotWritable && file?.startsWith(home)) {
    const message = `The folder ${home} is not writable: the runtime was not installed.`;
    return new LoraError('disk', message, {
      fix: 'Make it writable, then try again.',
      cause: error,
    });
  }
  return error;
}

/** For an installation that ran out of disk space. */
const fullDiskError = (home: string, cause: unknown): LoraError =>
  new LoraError('disk', `The disk of ${home} is full: the runtime was not installed.`, {
    fix: FREE_SPACE,
    cause,
  });

/** A rejection handler that resolves to false for these error codes and rethrows others. */
const ignoring =
  (...codes: readonly string[]) =>
  (error: unknown): false => {
    const code = (error as NodeJS.ErrnoException | undefined)?.code;
    if (code !== undefined && codes.includes(code)) return false;
    throw error;
  };
