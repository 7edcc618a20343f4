import { open, mkdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { LoraError, type ErrorArea } from '../shared/errors';

/** Largest single read: below Node's limit for one call. */
const CHUNK = 1 << 30;

/** Fills `target` from `position`. Errors: LoraError when the file ends before. */
export async function readFully(handle: FileHandle, target: Uint8Array, position: number, file: string, area: ErrorArea): Promise<void> {
  for (let done = 0; done < target.byteLength;) {
    const { bytesRead } = await handle.read(target, done, Math.min(CHUNK, target.byteLength - done), position + done);
    if (bytesRead === 0) throw new LoraError(area, `The file ends at byte ${position + done}, within the data that its header promises.`, { place: { file }, fix: 'Download or copy it again.' });
    done += bytesRead;
  }
}

export async function openFile(file: string, area: ErrorArea): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  try {
    const handle = await open(file, 'r');
    const { size } = await handle.stat();
    return { handle, size };
  } catch (error) {
    throw new LoraError(area, `The file cannot be read: ${reason(error)}.`, { place: { file }, cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist', EACCES: 'permission denied', EISDIR: 'it is a folder', ENOSPC: 'the disk is full', EROFS: 'the file system is read-only', EPERM: 'not permitted',
};

export function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return (code !== undefined && REASONS[code]) || (error instanceof Error ? error.message : String(error));
}

/** Writes a whole folder beside its final name, then gives it the name; an existing folder stays until the new one is complete. */
export async function replaceFolder(folder: string, fill: (temp: string) => Promise<void>): Promise<void> {
  const temp = `${folder}.${process.pid}.tmp`;
  const old = `${folder}.${process.pid}.old`;
  try {
    await rm(temp, { recursive: true, force: true });
    await mkdir(temp, { recursive: true });
    await fill(temp);
    if (await stat(folder).catch(() => null)) await rename(folder, old);
    await rename(temp, folder);
    await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(temp, { recursive: true, force: true }).catch(() => undefined);
    if (!await stat(folder).catch(() => null)) await rename(old, folder).catch(() => undefined);
    if (error instanceof LoraError) throw error;
    throw new LoraError('disk', `The folder could not be written: ${reason(error)}.`, { place: { file: folder }, cause: error });
  }
}

/** Writes a file under a temporary name, flushes it, gives it its name. */
export async function replaceFile(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temp = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  try {
    const handle = await open(temp, 'w');
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temp, file);
  } catch (error) {
    await rm(temp, { force: true }).catch(() => undefined);
    if (error instanceof LoraError) throw error;
    throw new LoraError('disk', `The file could not be written: ${reason(error)}.`, { place: { file }, cause: error });
  }
}
