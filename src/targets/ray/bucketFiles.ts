import { LoraError } from '../../shared/errors';
import type { Environment } from '../../common/programs';
import { Bucket } from '../s3/bucket';
import { KeptRun, type KeptAttempt } from '../s3/keptRun';
import type { BucketSettings } from '../s3/place';
import { throwIfAborted } from '../targetError';
import type { ByteRange, JobHandle, StoredJob } from '../target';
import type { ListedFile } from './runList';

/** How long what was found of a run counts. */
const FRESH_MS = 2_000;
const JOB = /^jobs\/(\d{8}-\d{6}-[0-9a-f]{4})\//;

/** The runs of a bucket, for when their nodes do not answer any more. */
export class BucketFiles {
  private found: { readonly job: string; readonly at: number; readonly kept: KeptAttempt | null } =
    { job: '', at: 0, kept: null };

  private opened: Bucket | null = null;

  constructor(
    private readonly settings: BucketSettings,
    private readonly env: Environment,
  ) {}

  /** It is needed when a node does not answer only. @throws LoraError('target') without a key */
  private get bucket(): Bucket {
    return (this.opened ??= Bucket.open(this.settings, this.env));
  }

  /** A sentence if the bucket cannot be used from here. */
  async check(signal: AbortSignal): Promise<readonly string[]> {
    try {
      await this.bucket.probe(signal);
      return [];
    } catch (error) {
      throwIfAborted(signal);
      return [LoraError.from(error, 'target').message];
    }
  }

  /** The files of a run; none where nothing was kept. @throws LoraError('target') */
  async list({ job }: JobHandle, signal: AbortSignal): Promise<readonly ListedFile[]> {
    return (await this.latest(job, signal))?.manifest.files ?? [];
  }

  /** A part of a file; none of one that was not kept. @throws LoraError('target') */
  async read(
    { job }: JobHandle,
    file: string,
    range: ByteRange,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const kept = await this.latest(job, signal);
    const listed = kept?.manifest.files.find(({ path }) => path === file);
    if (kept === null || listed === undefined) return Buffer.alloc(0);
    return new KeptRun(this.bucket, job).read(kept.attempt, listed, range, signal);
  }

  /** What the bucket keeps of each run, the newest first. */
  async usage(signal: AbortSignal): Promise<readonly Omit<StoredJob, 'state'>[]> {
    const sizes = new Map<string, { bytes: number; changed: number }>();
    for (const { key, size, changed } of await this.bucket.list('jobs/', signal)) {
      const [, job] = JOB.exec(key) ?? [];
      if (job === undefined) continue;
      const known = sizes.get(job) ?? { bytes: 0, changed: 0 };
      sizes.set(job, {
        bytes: known.bytes + size,
        changed: Math.max(known.changed, changed),
      });
    }
    return [...sizes]
      .map(([job, facts]) => ({ job, ...facts }))
      .sort((a, b) => (a.job < b.job ? 1 : -1));
  }

  /** Removes all that was kept of a run. */
  async remove({ job }: JobHandle, signal: AbortSignal): Promise<void> {
    for (const { key } of await this.bucket.list(`jobs/${job}/`, signal))
      await this.bucket.remove(key, signal);
  }

  private async latest(job: string, signal: AbortSignal): Promise<KeptAttempt | null> {
    const isFresh = this.found.job === job && Date.now() - this.found.at < FRESH_MS;
    if (!isFresh) {
      const kept = await new KeptRun(this.bucket, job).latest(signal);
      this.found = { job, at: Date.now(), kept };
    }
    return this.found.kept;
  }
}
