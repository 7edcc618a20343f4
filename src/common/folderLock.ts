import { writeFileSync } from 'node:fs';
import { lstat, rm, utimes } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { withRetries } from './atomicWrite';
import { listFolder, MAX_BYTES, readTextFile } from './regularFile';
import { refuseLinks, removeWithin } from './withoutLinks';
import { isRunning, thisMachine, thisProcess, type ProcessIdentity } from './processIdentity';

/** How often a lock is renewed, and after which time without that it no longer counts. */
const RENEW_MS = 2_000;
const EXPIRED_MS = 10_000;

const LOCK = /^\.owner\.(\d{1,15})\.lock$/;
const LAST_GENERATION = 999_999_999_999_999;
const ATTEMPTS = 20;
const LONGEST_PAUSE_MS = 50;

/** Another process owns the folder. */
export class FolderIsOwned extends Error {
  /** `pid`: null while the other process is still writing its lock. */
  constructor(
    readonly folder: string,
    readonly pid: number | null,
  ) {
    super(`${folder} is owned by the process ${pid ?? 'that is taking it'}.`);
  }
}

interface Lock {
  readonly file: string;
  readonly generation: number;
  readonly owner: ProcessIdentity | null;
  readonly isHeld: boolean;
}

/**
 * The ownership of a folder by one process, which ends with it, however it ends.
 *
 * A lock is a file that is created exclusively. The lock of a process that was killed is not
 * replaced: the next owner creates the next generation and removes the older ones, so of any number
 * of processes that find it, one succeeds. Each looks at all locks again after it has created its
 * own, and gives up when another one is held.
 */
export class FolderLock {
  private readonly timer: NodeJS.Timeout;

  private constructor(private readonly file: string) {
    this.timer = setInterval(() => {
      const now = new Date();
      utimes(file, now, now).catch(() => undefined);
    }, RENEW_MS);
    this.timer.unref();
  }

  /**
   * Takes an existing folder.
   *
   * @throws FolderIsOwned; FileRefused where .lora or a folder in it is a link; the file system's
   *   error
   */
  static async take(folder: string): Promise<FolderLock> {
    await refuseLinks(folder);
    const owner = JSON.stringify(await thisProcess());
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const file = await tryToLock(folder, owner);
      if (file !== null) return new FolderLock(file);
      await setTimeout(Math.random() * LONGEST_PAUSE_MS);
    }
    throw new FolderIsOwned(folder, null);
  }

  /** Gives the folder back. */
  async release(): Promise<void> {
    clearInterval(this.timer);
    await withRetries(() => rm(this.file, { force: true }));
  }
}

/** Whether a process, on this machine or another, owns the folder. */
export const isFolderOwned = async (folder: string): Promise<boolean> =>
  (await locksOf(folder).catch(() => [])).some(({ isHeld }) => isHeld);

/** The file of the new lock; null when another process was about to take the folder. */
async function tryToLock(folder: string, owner: string): Promise<string | null> {
  const before = await locksOf(folder);
  const held = before.find(({ isHeld }) => isHeld);
  if (held?.owner) throw new FolderIsOwned(folder, held.owner.pid);
  if (held) return null;
  const newest = Math.max(0, ...before.map((lock) => lock.generation));
  const file = path.join(folder, `.owner.${Math.min(newest + 1, LAST_GENERATION)}.lock`);
  if (!createExclusively(file, owner)) return null;
  const others = (await locksOf(folder)).filter((lock) => lock.file !== file);
  if (others.some(({ isHeld }) => isHeld)) {
    await withRetries(() => rm(file, { force: true }));
    return null;
  }
  for (const { file: ended } of others) await removeWithin(ended);
  return file;
}

/** False: the file exists. @throws the file system's error */
function createExclusively(file: string, content: string): boolean {
  try {
    // without a pause between creating and writing, so that few see it empty
    writeFileSync(file, content, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function locksOf(folder: string): Promise<Lock[]> {
  const locks: Lock[] = [];
  for (const { name } of await listFolder(folder, Infinity)) {
    const generation = LOCK.exec(name)?.[1];
    if (generation === undefined) continue;
    const file = path.join(folder, name);
    const [info, owner] = [await lstat(file).catch(() => null), await readOwner(file)];
    // it was given back in between
    if (!info) continue;
    locks.push({
      file,
      generation: Number(generation),
      owner,
      isHeld: await isHeldBy(owner, Date.now() - info.mtimeMs),
    });
  }
  return locks;
}

/** A process of another machine, or one that is writing its lock, counts until the lock expires. */
async function isHeldBy(owner: ProcessIdentity | null, age: number): Promise<boolean> {
  return owner?.machine === thisMachine() ? isRunning(owner) : Math.abs(age) < EXPIRED_MS;
}

/** Null for a lock that is not complete. */
async function readOwner(file: string): Promise<ProcessIdentity | null> {
  try {
    const { pid, start, machine } = JSON.parse(
      await readTextFile(file, { maxBytes: MAX_BYTES.smallRecord, links: 'refused' }),
    ) as Partial<ProcessIdentity>;
    const isComplete =
      Number.isInteger(pid) &&
      (start === null || typeof start === 'string') &&
      typeof machine === 'string';
    return isComplete ? { pid: pid!, start: start!, machine } : null;
  } catch {
    return null;
  }
}
