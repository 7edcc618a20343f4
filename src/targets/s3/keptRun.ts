import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { writeAll } from '../../common/atomicWrite';
import { makeFolder } from '../../common/makeFolder';
import { LoraError } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';
import type { ByteRange } from '../target';
import type { Bucket } from './bucket';
import {
  checkedManifest,
  MAX_MANIFEST_BYTES,
  partAt,
  type KeptFile,
  type Manifest,
  type Part,
} from './manifest';

const MANIFEST = 'files.json';
const ATTEMPT = /^(\d{4})\//;
/** Reserves a folder until there is a list in it. */
const MARK = Buffer.from('This folder belongs to a job that has kept nothing yet.\n');

/** A run in a bucket, and which job has written it there. */
export interface KeptAttempt {
  readonly attempt: number;
  readonly manifest: Manifest;
}

/**
 * A run in a bucket. Each of its jobs has a folder of its own, `jobs/<run>/<attempt>`, so that one
 * that is thought to be lost cannot spoil what the next one writes: `files.json` lists the files,
 * and `parts/<hash>` are their contents. A list is written after what it names.
 */
export class KeptRun {
  private readonly folder: string;

  constructor(
    readonly bucket: Bucket,
    readonly job: string,
  ) {
    this.folder = `jobs/${job}/`;
  }

  /** The numbers of the jobs that have written anything, the last first. */
  async attempts(signal: AbortSignal): Promise<readonly number[]> {
    const objects = await this.bucket.list(this.folder, signal);
    const found = objects.flatMap(
      ({ key }) => ATTEMPT.exec(key.slice(this.folder.length))?.[1] ?? [],
    );
    return [...new Set(found)].map(Number).sort((a, b) => b - a);
  }

  /** What the last job has kept that has kept anything; null: none has. */
  async latest(signal: AbortSignal): Promise<KeptAttempt | null> {
    for (const attempt of await this.attempts(signal)) {
      const content = await this.bucket.get(this.manifest(attempt), MAX_MANIFEST_BYTES, signal);
      if (content !== null) return { attempt, manifest: checkedManifest(content) };
    }
    return null;
  }

  /** At most `maxBytes` of a file, from an offset; none beyond its end, or of what is gone. */
  async read(
    attempt: number,
    file: KeptFile,
    { offset, maxBytes }: ByteRange,
    signal: AbortSignal,
  ): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let at = offset; at < offset + maxBytes;) {
      const found = partAt(file, at);
      if (found === null) break;
      const inner = at - found.start;
      const bytes = Math.min(found.part.size - inner, offset + maxBytes - at);
      const range = { offset: inner, maxBytes: bytes };
      const key = this.part(attempt, found.part);
      const piece = await this.bucket.getRange(key, range, signal);
      if (piece === null || piece.length !== bytes) break;
      pieces.push(piece);
      at += piece.length;
    }
    return Buffer.concat(pieces);
  }

  /**
   * Writes the files into an empty folder, apart from the log, which each job has of its own.
   *
   * @throws LoraError('target') when a part is missing or is another one
   */
  async restore({ attempt, manifest }: KeptAttempt, run: string, signal: AbortSignal) {
    for (const file of manifest.files) {
      if (file.path === RUN_FILES.log) continue;
      const target = path.join(run, ...file.path.split('/'));
      await makeFolder(path.dirname(target));
      const output = await open(target, 'wx');
      try {
        for (const part of file.parts)
          await writeAll(output, await this.whole(attempt, part, signal));
      } finally {
        await output.close();
      }
    }
  }

  /** Gives a new job its number: its folder is there from now on, so that no other job takes it. */
  async reserve(signal: AbortSignal): Promise<number> {
    const [last = 0] = await this.attempts(signal);
    const attempt = last + 1;
    await this.putPart(attempt, MARK, signal);
    return attempt;
  }

  /** Removes what has reserved the folder of a job, which has a list now. */
  async removeMark(attempt: number, signal: AbortSignal): Promise<void> {
    await this.removePart(attempt, { sha256: hashOf(MARK), size: MARK.length }, signal);
  }

  /** Stores a part. */
  async putPart(attempt: number, content: Buffer, signal: AbortSignal): Promise<Part> {
    const part = { sha256: hashOf(content), size: content.length };
    await this.bucket.put(this.part(attempt, part), content, signal);
    return part;
  }

  async removePart(attempt: number, part: Part, signal: AbortSignal): Promise<void> {
    await this.bucket.remove(this.part(attempt, part), signal);
  }

  async putManifest(attempt: number, manifest: Manifest, signal: AbortSignal): Promise<void> {
    await this.bucket.put(this.manifest(attempt), Buffer.from(JSON.stringify(manifest)), signal);
  }

  /** Removes what earlier jobs have kept. */
  async removeBefore(attempt: number, signal: AbortSignal): Promise<void> {
    for (const { key } of await this.bucket.list(this.folder, signal)) {
      const [, number] = ATTEMPT.exec(key.slice(this.folder.length)) ?? [];
      if (number !== undefined && Number(number) < attempt) await this.bucket.remove(key, signal);
    }
  }

  private async whole(attempt: number, part: Part, signal: AbortSignal): Promise<Buffer> {
    const content = await this.bucket.get(this.part(attempt, part), part.size, signal);
    if (content !== null && hashOf(content) === part.sha256) return content;
    throw new LoraError('target', `The bucket has not what was kept of the run ${this.job}.`, {
      fix: 'Train the recipe again.',
    });
  }

  private manifest(attempt: number): string {
    return `${this.folder}${padded(attempt)}/${MANIFEST}`;
  }

  private part(attempt: number, { sha256 }: Part): string {
    return `${this.folder}${padded(attempt)}/parts/${sha256}`;
  }
}

const padded = (attempt: number): string => String(attempt).padStart(4, '0');

/** The SHA-256 of a content. */
export const hashOf = (content: Uint8Array): string =>
  createHash('sha256').update(content).digest('hex');
