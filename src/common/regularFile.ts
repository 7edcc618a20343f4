import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  statSync,
  type Dirent,
  type Stats,
} from 'node:fs';
import { lstat, open, opendir, stat, type FileHandle } from 'node:fs/promises';
import { formatSize } from './formatSize';

// Folders, models and datasets may be untrusted. A named pipe at the place of a file would keep
// a thread of the process waiting forever, and a device never ends.

/**
 * Whether a link at the path is followed. People link models and datasets, but the files of a run
 * are written in its folder: a link there would make the reader open a file of an attacker's
 * choice.
 */
export type Links = 'followed' | 'refused';

/** A file that must not be read. The message is the reason, to follow a colon. */
export class FileRefused extends Error {}

/** The largest size that is read for each kind of file. */
export const MAX_BYTES = {
  /** run.json, and the certificate of a merge: some fields for each file or tensor of the base. */
  runRecord: 16 * 2 ** 20,
  /** engine.json, an owner's lock, refs of git: a few lines. */
  smallRecord: 2 ** 16,
  /** Recipes, notes, prompts, chat templates: written by people. */
  writtenByPeople: 8 * 2 ** 20,
  /** The JSON files of models; the largest tokenizer.json have tens of megabytes. */
  modelJson: 2 ** 28,
  image: 2 ** 28,
} as const;

/** How long the reading of a whole file may take. */
const READ_MS = 60_000;
const CHUNK_BYTES = 2 ** 20;
/** More entries of a folder are not listed. */
const MAX_ENTRIES = 20_000;

// Windows has neither.
const { O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants as Partial<typeof constants>;

/** An open regular file. Whoever opened it closes its handle. */
export interface RegularFile {
  readonly handle: FileHandle;
  readonly info: Stats;
}

/**
 * Opens a regular file for reading, without waiting for anything.
 *
 * @throws FileRefused for a folder, named pipe, socket or device, and for a link where links are
 *   refused; the file system's error
 */
export async function openRegularFile(
  file: string,
  links: Links = 'followed',
): Promise<RegularFile> {
  // before it is opened, because opening some devices has an effect
  refuseOtherKinds(await (links === 'followed' ? stat(file) : lstat(file)));
  const noFollow = links === 'followed' ? 0 : O_NOFOLLOW;
  const handle = await open(file, constants.O_RDONLY | O_NONBLOCK | noFollow);
  try {
    const info = await handle.stat();
    refuseOtherKinds(info);
    return { handle, info };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** How much of a file is read, and where. */
export interface ReadLimits {
  readonly maxBytes: number;
  /** 'followed' by default. */
  readonly links?: Links;
  /** Milliseconds; a minute by default. */
  readonly timeout?: number;
}

/**
 * The whole content of a regular file.
 *
 * @throws FileRefused for anything else, a file of more than `maxBytes`, or one that cannot be read
 *   in time; the file system's error
 */
export function readRegularFile(file: string, limits: ReadLimits): Promise<Buffer> {
  const { maxBytes, links, timeout = READ_MS } = limits;
  return inTime(timeout, async (isLate) => {
    const { handle, info } = await openRegularFile(file, links);
    try {
      if (info.size > maxBytes) throw tooLarge(maxBytes);
      return await readUpTo(handle, maxBytes, isLate);
    } finally {
      await handle.close();
    }
  });
}

/**
 * The whole content of a regular file, for readers that cannot wait, such as those of rows.
 *
 * @throws FileRefused for anything else and for more bytes than `maxBytes`; the file system's error
 */
export function readRegularFileNow(file: string, maxBytes: number): Buffer {
  refuseOtherKinds(statSync(file));
  const handle = openSync(file, constants.O_RDONLY | O_NONBLOCK);
  try {
    const info = fstatSync(handle);
    refuseOtherKinds(info);
    if (info.size > maxBytes) throw tooLarge(maxBytes);
    const bytes = Buffer.alloc(info.size);
    let done = 0;
    for (let read = -1; read !== 0 && done < bytes.length; done += read)
      read = readSync(handle, bytes, done, bytes.length - done, done);
    return bytes.subarray(0, done);
  } finally {
    closeSync(handle);
  }
}

/** The text of a regular file. @throws as readRegularFile does */
export const readTextFile = async (file: string, limits: ReadLimits): Promise<string> =>
  (await readRegularFile(file, limits)).toString('utf8');

/** The end of a text. */
export interface Tail {
  readonly text: string;
  /** Whether the file begins before it. */
  readonly isCut: boolean;
}

/**
 * The last `maxBytes` of a regular file, from byte `from` on at the earliest.
 *
 * @throws as readRegularFile does
 */
export function readTail(file: string, limits: ReadLimits, from = 0): Promise<Tail> {
  const { maxBytes, links, timeout = READ_MS } = limits;
  return inTime(timeout, async () => {
    const { handle, info } = await openRegularFile(file, links);
    try {
      const start = Math.max(from, info.size - maxBytes);
      const length = Math.max(0, info.size - start);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, start);
      return { text: buffer.toString('utf8', 0, bytesRead), isCut: start > from };
    } finally {
      await handle.close();
    }
  });
}

/** The first bytes of a regular file. @throws as openRegularFile does */
export async function readHead(file: string, bytes: number, links?: Links): Promise<Buffer> {
  const { handle, info } = await openRegularFile(file, links);
  try {
    const length = Math.min(bytes, info.size);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/**
 * The entries of a folder by name, at most `most` of them: a folder may have millions.
 *
 * @throws the file system's error
 */
export async function listFolder(folder: string, most = MAX_ENTRIES): Promise<Dirent[]> {
  const entries: Dirent[] = [];
  for await (const entry of await opendir(folder, { bufferSize: 256 })) {
    entries.push(entry);
    if (entries.length === most) break;
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What a path leads to if that is no regular file: "a named pipe (FIFO)"; null if it is one. */
export function otherKindOf(info: Stats): string | null {
  if (info.isFile()) return null;
  if (info.isDirectory()) return 'a folder';
  if (info.isFIFO()) return 'a named pipe (FIFO)';
  if (info.isSocket()) return 'a socket';
  return info.isSymbolicLink() ? 'a symbolic link, which is not followed here' : 'a device';
}

/** @throws FileRefused for anything but a regular file */
export function refuseOtherKinds(info: Stats): void {
  const kind = otherKindOf(info);
  if (kind === null) return;
  throw new FileRefused(
    info.isDirectory() || info.isSymbolicLink() ? `it is ${kind}` : `it is ${kind}, not a file`,
  );
}

const tooLarge = (maxBytes: number) =>
  new FileRefused(`it is larger than the ${formatSize(maxBytes)} that are read of such a file`);

/** Files of some file systems have no size before they are read. */
async function readUpTo(
  handle: FileHandle,
  maxBytes: number,
  isLate: () => boolean,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let total = 0; !isLate();) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES);
    if (bytesRead === 0) break;
    total += bytesRead;
    if (total > maxBytes) throw tooLarge(maxBytes);
    chunks.push(buffer.subarray(0, bytesRead));
  }
  return Buffer.concat(chunks);
}

/** The result of `work`, unless that takes longer. `work` is told, and ends when it can. */
async function inTime<T>(timeout: number, work: (isLate: () => boolean) => Promise<T>): Promise<T> {
  let isLate = false;
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new FileRefused(`it could not be read within ${timeout / 1000} seconds`));
    }, timeout);
  });
  try {
    return await Promise.race([work(() => isLate), limit]);
  } finally {
    clearTimeout(timer);
  }
}
