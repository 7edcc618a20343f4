import { constants } from 'node:fs';
import { lstat, open, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { withRetries } from '../../common/atomicWrite';
import { FolderIsOwned, FolderLock } from '../../common/folderLock';
import { hashFile } from '../../common/hashFile';
import { makeFolder } from '../../common/makeFolder';
import { makePrivateFolder } from '../../common/privateFiles';
import { listFolder } from '../../common/regularFile';
import { freeDiskBytes } from '../../common/system';
import { inside, type Places } from './places';
import type { Answer, SentFile } from './protocol';

/** Within the folder of an item that is received, beside the lock of its owner. */
const FILES = 'files';

/** Receives items: under another name until all files are complete and have the right hashes. */
export class Items {
  private readonly locks = new Map<string, FolderLock>();

  constructor(private readonly places: Places) {}

  async present(items: readonly string[]): Promise<string[]> {
    const present = [];
    for (const item of items) if (await exists(this.places.item(item))) present.push(item);
    return present;
  }

  /** Owns an item, which another connection cannot send then. */
  async begin(item: string): Promise<Answer<'begin'>> {
    if (await exists(this.places.item(item))) return { state: 'present' };
    const part = this.places.partOf(item);
    await makePrivateFolder(this.places.root);
    await makeFolder(part);
    if (!this.locks.has(item)) {
      const lock = await FolderLock.take(part).catch((error: unknown) => {
        if (error instanceof FolderIsOwned) return null;
        throw error;
      });
      if (lock === null) return { state: 'busy' };
      this.locks.set(item, lock);
    }
    // another connection may have completed it in between
    if (await exists(this.places.item(item))) {
      await this.drop(item);
      return { state: 'present' };
    }
    await makeFolder(path.join(part, FILES));
    const sizes = await sizesIn(path.join(part, FILES));
    return { state: 'begun', sizes, free: await freeDiskBytes(part) };
  }

  async write(
    { item, file, offset }: { item: string; file: string; offset: number },
    bytes: Uint8Array,
  ): Promise<Answer<'write'>> {
    const target = this.received(item, file);
    await makeFolder(path.dirname(target));
    const handle = await open(target, constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      await handle.truncate(offset);
      await writeAllAt(handle, bytes, offset);
      return { size: offset + bytes.length };
    } finally {
      await handle.close();
    }
  }

  /** Gives an item its name. @throws when a file is not what was sent; it is removed then */
  async finish(item: string, files: readonly SentFile[]): Promise<void> {
    for (const { path: file, size, sha256 } of files) {
      const received = this.received(item, file);
      const info = await lstat(received);
      if (info.size === size && (await hashFile(received)) === sha256) continue;
      await rm(received, { force: true });
      throw new Error(`${file} did not arrive as it was sent, or changed while it was sent`);
    }
    const folder = path.join(this.places.partOf(item), FILES);
    const extra = Object.keys(await sizesIn(folder)).length !== files.length;
    if (extra) {
      await rm(folder, { recursive: true, force: true });
      throw new Error('there were files of another transfer');
    }
    await withRetries(() => rename(folder, this.places.item(item)));
    await this.drop(item);
  }

  /** Gives all items back that are not complete. */
  async dispose(): Promise<void> {
    for (const lock of this.locks.values()) await lock.release().catch(() => undefined);
  }

  private received(item: string, file: string): string {
    if (!this.locks.has(item)) throw new Error('the item is not being sent');
    return inside(path.join(this.places.partOf(item), FILES), file);
  }

  private async drop(item: string): Promise<void> {
    await this.locks.get(item)?.release();
    this.locks.delete(item);
    await rm(this.places.partOf(item), { recursive: true, force: true });
  }
}

async function writeAllAt(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;)
    done += (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
}

const exists = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );

async function sizesIn(folder: string, prefix = ''): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const entry of await listFolder(folder)) {
    const name = `${prefix}${entry.name}`;
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) Object.assign(sizes, await sizesIn(file, `${name}/`));
    else sizes[name] = (await lstat(file)).size;
  }
  return sizes;
}
