import { open, mkdir, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { LoraError, type ErrorArea } from '../shared/errors';

/** Largest single read or write: below Node's limit for one call. */
const CHUNK = 1 << 30;

/** Fills `target` from `position`. Errors: LoraError when the file ends before. */
export async function readFully(
  handle: FileHandle,
  target: Uint8Array,
  position: number,
  file: string,
  area: ErrorArea,
): Promise<void> {
  for (let done = 0; done < target.byteLength;) {
    const { bytesRead } = await handle.read(
      target,
      done,
      Math.min(CHUNK, target.byteLength - done),
      position + done,
    );
    if (bytesRead === 0)
      throw new LoraError(
        area,
        `The file ends at byte ${position + done}, within the data that its header promises.`,
        { place: { file }, fix: 'Download or copy it again.' },
      );
    done += bytesRead;
  }
}

export async function openFile(
  file: string,
  area: ErrorArea,
): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  try {
    const handle = await open(file, 'r');
    const { size } = await handle.stat();
    return { handle, size };
  } catch (error) {
    throw new LoraError(area, `The file cannot be read: ${reason(error)}.`, {
      place: { file },
      cause: error,
    });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
  EPERM: 'not permitted',
};

export function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return (
    (code !== undefined && REASONS[code]) ||
    (error instanceof Error ? error.message : String(error))
  );
}

/**
 * Memory for a tensor. Errors: LoraError where there is not enough, or where the runtime has no
 * array of that size.
 */
export function allocate(bytes: number, file: string, tensor: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    throw new LoraError('memory', `A tensor of ${bytes} bytes does not fit into memory.`, {
      place: { file, tensor },
      cause: error,
    });
  }
}

/**
 * Writes a whole folder beside its final name, then gives it the name; an existing folder stays
 * until the new one is complete.
 */
export async function replaceFolder(
  folder: string,
  fill: (temp: string) => Promise<void>,
): Promise<void> {
  const temp = `${folder}.${process.pid}.tmp`;
  const old = `${folder}.${process.pid}.old`;
  try {
    await rm(temp, { recursive: true, force: true });
    await mkdir(temp, { recursive: true });
    await fill(temp);
    if (await exists(folder)) await withRetries(() => rename(folder, old));
    await withRetries(() => rename(temp, folder));
  } catch (error) {
    await removed(temp);
    if (!(await exists(folder))) await rename(old, folder).catch(() => undefined);
    if (error instanceof LoraError) throw error;
    throw new LoraError('disk', `The folder could not be written: ${reason(error)}.`, {
      place: { file: folder },
      cause: error,
    });
  }
  await removed(old);
}

/** Fills a folder beside `file`, then gives what is in it its place beside, `file` itself last. */
export async function placeFiles(
  file: string,
  fill: (temp: string) => Promise<void>,
): Promise<void> {
  const temp = `${file}.${process.pid}.tmp`;
  const placed: string[] = [];
  try {
    await rm(temp, { recursive: true, force: true });
    await mkdir(temp, { recursive: true });
    await fill(temp);
    const last = path.basename(file);
    for (const name of [...(await readdir(temp)).filter((own) => own !== last), last]) {
      const place = path.join(path.dirname(file), name);
      await withRetries(() => rename(path.join(temp, name), place));
      placed.push(place);
    }
  } catch (error) {
    for (const place of placed) await removed(place);
    if (error instanceof LoraError) throw error;
    throw new LoraError('disk', `The file could not be written: ${reason(error)}.`, {
      place: { file },
      cause: error,
    });
  } finally {
    await removed(temp);
  }
}

/** Whether it is a file, also through a link; anything that stands in the way counts as no. */
export const isFile = (file: string): Promise<boolean> =>
  stat(file).then(
    (found) => found.isFile(),
    () => false,
  );

const exists = (file: string) =>
  stat(file).then(
    () => true,
    () => false,
  );
const removed = (file: string) =>
  rm(file, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);

/**
 * Windows refuses to rename what another process (a virus scanner, an editor) holds open for a
 * moment.
 */
const HELD_OPEN = new Set(['EPERM', 'EACCES', 'EBUSY']);
const PAUSES_MS = [10, 30, 100, 300, 1000];

/**
 * Tries again for about a second and a half while the target is held open; where nothing holds
 * files open that way, the first refusal stands.
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

/** One call to the system writes 2 GiB at most, and may write less than asked. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;)
    done += (await handle.write(bytes, done, Math.min(CHUNK, bytes.length - done))).bytesWritten;
}

/** Writes a file under a temporary name, flushes it, gives it its name. */
export async function replaceFile(
  file: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const temp = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  try {
    const handle = await open(temp, 'w');
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await withRetries(() => rename(temp, file));
  } catch (error) {
    await removed(temp);
    if (error instanceof LoraError) throw error;
    throw new LoraError('disk', `The file could not be written: ${reason(error)}.`, {
      place: { file },
      cause: error,
    });
  }
}
