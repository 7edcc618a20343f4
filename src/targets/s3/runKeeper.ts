import { createHash } from 'node:crypto';
import { lstat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { listFolder, openRegularFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import { isInRun, RUN_FILES } from '../../shared/run';
import { MAX_FILES } from '../target';
import { hashOf, type KeptRun } from './keptRun';
import { GROWING_PART_BYTES, PART_BYTES, type KeptFile, type Part } from './manifest';

const MAX_DEPTH = 4;
/** They grow while they are read. */
const GROWING = /\.(?:jsonl|log)$/;
/** How long files that only grow may lag behind. */
const GROWING_MS = 5_000;
/** How often files that have changed meanwhile are looked at again, before the next time. */
const MAX_TRIES = 4;

/** A file of a run as it is now. */
interface SeenFile {
  readonly path: string;
  readonly size: number;
  /** Changes with the content, other than by growing. */
  readonly version: string;
  readonly grows: boolean;
}

/** The place of a run on this machine, and the number of the job that trains it. */
export interface KeptFolder {
  readonly run: string;
  /** What the paths in run.json begin with. */
  readonly root: string;
  readonly attempt: number;
}

/** Keeps the folder of a run in a bucket, as it was at some moment. */
export class RunKeeper {
  private readonly known = new Map<string, KeptFile>();
  /** The parts that the bucket has. */
  private readonly stored = new Map<string, Part>();
  /** What did not only grow when the bucket was brought up to date. */
  private written = '';
  private writtenAt = 0;
  /** The last list in the bucket. */
  private listed = '';
  private isFirst = true;

  constructor(
    private readonly kept: KeptRun,
    private readonly folder: KeptFolder,
    private readonly now: () => number = Date.now,
  ) {}

  /**
   * Stores what is new, if there is anything. With `isLast`, the folder does not change any more.
   *
   * @throws LoraError('target' | 'cancelled'), and the file system's errors
   */
  async keep(signal: AbortSignal, isLast = false): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const seen = await this.see();
      const isBehind = this.now() - this.writtenAt >= GROWING_MS;
      if (fixed(seen) === this.written && !isBehind && !isLast) return;
      const files = await this.storeAll(seen, signal);
      if (files === null) continue;
      await this.write(files, signal);
      this.written = fixed(seen);
      this.writtenAt = this.now();
      return;
    }
    // before the end, the next time tries again
    if (isLast) throw new LoraError('target', 'Files of the run still change or cannot be read.');
  }

  /** Null: files of two moments do not belong together. */
  private async storeAll(
    seen: readonly SeenFile[],
    signal: AbortSignal,
  ): Promise<readonly KeptFile[] | null> {
    const files: KeptFile[] = [];
    const storeThose = async (those: readonly SeenFile[]) => {
      for (const file of those) {
        const kept = await this.store(file, signal);
        if (kept === null) return false;
        files.push(kept);
      }
      return true;
    };
    if (!(await storeThose(seen.filter(({ grows }) => !grows)))) return null;
    const after = await this.see();
    if (fixed(after) !== fixed(seen)) return null;
    // metrics have the steps of each checkpoint that is there
    return (await storeThose(after.filter(({ grows }) => grows))) ? files : null;
  }

  private async write(files: readonly KeptFile[], signal: AbortSignal): Promise<void> {
    const { attempt, root } = this.folder;
    const text = JSON.stringify(files);
    if (text === this.listed) return;
    await this.kept.putManifest(attempt, { version: 1, root, files: [...files] }, signal);
    this.listed = text;
    await this.clean(files, signal);
  }

  /** Null: the file changed meanwhile. */
  private async store(file: SeenFile, signal: AbortSignal): Promise<KeptFile | null> {
    const known = this.known.get(file.path);
    if (known?.version === file.version && known.size === file.size) return known;
    const input = await openRegularFile(this.placeOf(file), 'refused').catch(() => null);
    if (input === null) return null;
    try {
      const kept = file.grows
        ? await this.storeGrowing(input.handle, { file, known }, signal)
        : await this.storeWhole(input.handle, file, signal);
      if (kept !== null) this.known.set(file.path, kept);
      return kept;
    } finally {
      await input.handle.close();
    }
  }

  private async storeWhole(
    handle: FileHandle,
    { path: name, size, version }: SeenFile,
    signal: AbortSignal,
  ): Promise<KeptFile | null> {
    const hash = createHash('sha256');
    const parts: Part[] = [];
    for (let offset = 0; offset < size;) {
      const content = await readAt(handle, offset, Math.min(PART_BYTES, size - offset));
      if (content === null) return null;
      hash.update(content);
      parts.push(await this.put(content, signal));
      offset += content.length;
    }
    return { path: name, size, version, sha256: hash.digest('hex'), parts };
  }

  /** What was stored before is not read again, apart from the last part. */
  private async storeGrowing(
    handle: FileHandle,
    { file, known }: { readonly file: SeenFile; readonly known: KeptFile | undefined },
    signal: AbortSignal,
  ): Promise<KeptFile | null> {
    const { path: name, size, version } = file;
    const parts = await this.unchangedParts(handle, file, known);
    let offset = parts.reduce((sum, part) => sum + part.size, 0);
    while (offset < size) {
      const content = await readAt(handle, offset, Math.min(GROWING_PART_BYTES, size - offset));
      if (content === null) return null;
      parts.push(await this.put(content, signal));
      offset += content.length;
    }
    return { path: name, size, version, sha256: null, parts };
  }

  /** The full parts of a file that grows. None if its last part is not what it was. */
  private async unchangedParts(
    handle: FileHandle,
    file: SeenFile,
    known: KeptFile | undefined,
  ): Promise<Part[]> {
    if (known?.version !== file.version || known.size > file.size) return [];
    const last = known.parts.at(-1);
    if (last === undefined) return [];
    const start = known.size - last.size;
    const content = await readAt(handle, start, last.size);
    if (content === null || hashOf(content) !== last.sha256) return [];
    return known.parts.slice(0, last.size < GROWING_PART_BYTES ? -1 : undefined);
  }

  private async put(content: Buffer, signal: AbortSignal): Promise<Part> {
    const known = this.stored.get(hashOf(content));
    if (known !== undefined) return known;
    const part = await this.kept.putPart(this.folder.attempt, content, signal);
    this.stored.set(part.sha256, part);
    return part;
  }

  /** Removes the parts that no file consists of now, and what earlier attempts kept. */
  private async clean(files: readonly KeptFile[], signal: AbortSignal): Promise<void> {
    const { attempt } = this.folder;
    if (this.isFirst) {
      await this.kept.removeMark(attempt, signal);
      await this.kept.removeBefore(attempt, signal);
    }
    this.isFirst = false;
    this.known.clear();
    for (const file of files) this.known.set(file.path, file);
    const used = new Set(files.flatMap(({ parts }) => parts.map(({ sha256 }) => sha256)));
    for (const part of [...this.stored.values()].filter(({ sha256 }) => !used.has(sha256))) {
      await this.kept.removePart(attempt, part, signal);
      this.stored.delete(part.sha256);
    }
  }

  private async see(): Promise<readonly SeenFile[]> {
    const files: SeenFile[] = [];
    await collect(this.folder.run, '', files);
    return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  private placeOf(file: SeenFile): string {
    return path.join(this.folder.run, ...file.path.split('/'));
  }
}

/** What does not only grow, to compare it. */
const fixed = (files: readonly SeenFile[]): string =>
  JSON.stringify(
    files.map(({ path: name, size, version, grows }) => [name, version, grows ? null : size]),
  );

/** Regular files, without those of the process that owns the run and those being written. */
async function collect(folder: string, prefix: string, files: SeenFile[]): Promise<void> {
  for (const entry of await listFolder(folder).catch(() => [])) {
    const name = `${prefix}${entry.name}`;
    const isOwn = /^\.|\.tmp$/.test(entry.name) || name === RUN_FILES.engine;
    if (isOwn || !isInRun(name) || files.length >= MAX_FILES) continue;
    const file = path.join(folder, entry.name);
    if (entry.isDirectory() && prefix.split('/').length <= MAX_DEPTH)
      await collect(file, `${name}/`, files);
    // it may be gone by now
    const info = entry.isFile() ? await lstat(file).catch(() => null) : null;
    if (!info?.isFile()) continue;
    const grows = GROWING.test(name);
    const version = grows ? String(info.ino) : `${info.ino}-${info.mtimeMs}`;
    files.push({ path: name, size: info.size, version, grows });
  }
}

/** Null: the file has become shorter. */
async function readAt(handle: FileHandle, offset: number, bytes: number): Promise<Buffer | null> {
  const content = Buffer.alloc(bytes);
  for (let done = 0; done < bytes;) {
    const { bytesRead } = await handle.read(content, done, bytes - done, offset + done);
    if (bytesRead === 0) return null;
    done += bytesRead;
  }
  return content;
}
