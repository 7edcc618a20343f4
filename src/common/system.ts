import { statfs } from 'node:fs/promises';
import { freemem } from 'node:os';

/** Whether a process with this id is running, whichever user owns it. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Bytes that this user can still write to the disk of an existing folder. */
export async function freeDiskBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/**
 * Bytes of memory that this process can still allocate. Caches count as free if the system reports
 * them.
 */
export const availableMemory = (): number =>
  typeof process.availableMemory === 'function' ? process.availableMemory() : freemem();
