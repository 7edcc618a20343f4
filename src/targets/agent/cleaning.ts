import { lstat, rm } from 'node:fs/promises';
import path from 'node:path';
import { FolderIsOwned, FolderLock } from '../../common/folderLock';
import { listFolder, MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { Jobs } from './jobs';
import { isItemId, type Places } from './places';
import type { Answer } from './protocol';

/** The file by which an item with an engine is known: jobs do not name it in their recipes. */
const ENGINE_FILE = 'cli.js';
const MAX_DEPTH = 8;

type Usage = Answer<'usage'>;

/** What is kept under a root, what it takes, and what uses it. */
export class Cleaning {
  constructor(
    private readonly places: Places,
    private readonly jobs: Jobs,
  ) {}

  async usage(): Promise<Usage> {
    const jobs: Usage['jobs'] = [];
    const users = new Map<string, string[]>();
    for (const job of await this.jobs.list()) {
      const { kind } = await this.jobs.state(job);
      const folder = this.places.job(job);
      jobs.push({ job, state: kind, ...(await sizeOf(folder)) });
      for (const item of await this.itemsOf(job))
        users.set(item, [...(users.get(item) ?? []), job]);
    }
    const going = jobs.filter(({ state }) => state === 'running' || state === 'queued');
    const items: Usage['items'] = [];
    for (const { name } of await listFolder(this.places.items).catch(() => [])) {
      const [, part] = /^\.(.*)\.part$/.exec(name) ?? [];
      const id = part ?? name;
      if (!isItemId(id)) continue;
      const folder = path.join(this.places.items, name);
      const isEngine = await isThere(path.join(folder, ENGINE_FILE));
      const used = [...(users.get(id) ?? []), ...(isEngine ? going.map(({ job }) => job) : [])];
      items.push({
        id,
        isComplete: part === undefined,
        usedBy: [...new Set(used)],
        ...(await sizeOf(folder)),
      });
    }
    return { items, jobs };
  }

  /** Removes items that no job uses now. Gives those that are gone. */
  async clean(ids: readonly string[]): Promise<string[]> {
    const removed: string[] = [];
    const { items } = await this.usage();
    for (const { id, isComplete, usedBy } of items) {
      if (!ids.includes(id) || usedBy.length > 0) continue;
      const gone = isComplete ? await this.remove(id) : await this.removePart(id);
      if (gone) removed.push(id);
    }
    return removed;
  }

  private async remove(id: string): Promise<boolean> {
    await rm(this.places.item(id), { recursive: true, force: true });
    return true;
  }

  /** One that a connection is receiving stays. */
  private async removePart(id: string): Promise<boolean> {
    const part = this.places.partOf(id);
    try {
      const lock = await FolderLock.take(part);
      await rm(part, { recursive: true, force: true });
      await lock.release().catch(() => undefined);
      return true;
    } catch (error) {
      if (error instanceof FolderIsOwned) return false;
      throw error;
    }
  }

  /** The items that the recipe of a job names. */
  private async itemsOf(job: string): Promise<string[]> {
    const text = await readTextFile(this.places.recipe(job), {
      maxBytes: MAX_BYTES.writtenByPeople,
      links: 'refused',
    }).catch(() => '');
    return [...text.matchAll(/items\/([0-9a-z]+)/g)].map(([, id = '']) => id);
  }
}

const isThere = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );

/** The bytes of a folder's regular files, and when it was put there. No link is followed. */
async function sizeOf(folder: string): Promise<{ bytes: number; changed: number }> {
  const info = await lstat(folder).catch(() => null);
  return { bytes: await bytesIn(folder, MAX_DEPTH), changed: Math.round(info?.ctimeMs ?? 0) };
}

async function bytesIn(folder: string, depth: number): Promise<number> {
  let bytes = 0;
  for (const entry of await listFolder(folder).catch(() => [])) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory() && depth > 0) bytes += await bytesIn(file, depth - 1);
    if (entry.isFile()) bytes += (await lstat(file).catch(() => null))?.size ?? 0;
  }
  return bytes;
}
