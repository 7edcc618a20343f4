import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { formatSize } from '../common/formatSize';
import { freeDiskBytes, isProcessAlive } from '../common/system';
import { LoraError } from '../shared/errors';
import { holds, type Manifest } from './manifest';

const HOST = hostname().replace(/\W/g, '_');

/**
 * Runs `work` in a folder under home that no search looks into; it is gone afterwards unless `work`
 * gave it a name. Errors: LoraError('disk') when the disk is full or home cannot be written; the
 * work's own.
 */
export async function inTemporaryFolder<T>(
  home: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  let folder: string | undefined;
  try {
    await mkdir(home, { recursive: true });
    await removeAbandoned(home);
    folder = await mkdtemp(path.join(home, `.install-${process.pid}-${HOST}-`));
    return await work(folder);
  } catch (error) {
    throw diskError(error, home);
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

export async function keepOnly(names: readonly string[], folder: string): Promise<void> {
  const others = (await readdir(folder)).filter((name) => !names.includes(name));
  await Promise.all(others.map((name) => rm(path.join(folder, name), { recursive: true })));
}

/**
 * Gives a filled folder its name, unless another process has put the very same there; whatever else
 * is there is replaced.
 */
export async function takeName(temp: string, folder: string, manifest: Manifest): Promise<void> {
  const replaced = `${temp}-replaced`;
  while (!(await holds(folder, manifest))) {
    await rename(folder, replaced).catch(ignoring('ENOENT'));
    await rm(replaced, { recursive: true, force: true });
    if (await rename(temp, folder).then(() => true, ignoring('ENOTEMPTY', 'EEXIST'))) return;
  }
}

/** Errors: LoraError('disk') when fewer bytes are free than needed. */
export async function checkRoom(folder: string, bytes: number): Promise<void> {
  const free = await freeDiskBytes(folder);
  if (free >= bytes) return;
  const message = `The runtime needs ${formatSize(bytes)} on the disk of ${folder}; ${formatSize(free)} are free.`;
  throw new LoraError('disk', message, { fix: 'Free some room, then try again.' });
}

/** Removes what a killed installation left: folders whose process on this machine is gone. */
async function removeAbandoned(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const [, pid, host] = /^\.install-(\d+)-(\w+)-/.exec(name) ?? [];
    if (host === HOST && !isProcessAlive(Number(pid)))
      await rm(path.join(home, name), { recursive: true, force: true });
  }
}

function diskError(error: unknown, home: string): unknown {
  const { code, path: file } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return fullDisk(home, error);
  if ((code === 'EACCES' || code === 'EPERM' || code === 'EROFS') && file?.startsWith(home)) {
    const message = `The folder ${home} cannot be written: the runtime was not installed.`;
    return new LoraError('disk', message, {
      fix: 'Make it writable, then try again.',
      cause: error,
    });
  }
  return error;
}

export const fullDisk = (home: string, cause: unknown): LoraError =>
  new LoraError('disk', `The disk of ${home} is full: the runtime was not installed.`, {
    fix: 'Free some room, then try again.',
    cause,
  });

const ignoring =
  (...codes: readonly string[]) =>
  (error: unknown): false => {
    if (codes.includes(codeOf(error) ?? '')) return false;
    throw error;
  };

const codeOf = (error: unknown): string | undefined =>
  (error as NodeJS.ErrnoException | undefined)?.code;
