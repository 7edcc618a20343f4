import path from 'node:path';
import { formatSize } from '../../common/formatSize';
import { MAX_BYTES } from '../../common/regularFile';
import { freeDiskBytes } from '../../common/system';
import { LoraError } from '../../shared/errors';
import type { MetricLine } from '../../shared/metrics/lines';
import { parseMetricLine } from '../../shared/metrics/parse';
import { ENDED_STATES, isInRun, RUN_FILES, type RunRecord } from '../../shared/run';
import type { JobState, RemoteFile as FileThere } from '../../targets/target';
import { MetricsFile } from '../run/runFolder';
import type { RecordFile } from '../training/recordFile';
import { mergeRecord } from './mergeRecord';
import { nameBaseHere } from './nameBase';
import { bytesOfEarlierJob } from './earlierJob';
import {
  pullBytes,
  pullFile,
  pullFolder,
  pullGrowing,
  type Growing,
  type PulledJob,
} from './pulledFiles';
import type { RemoteFile } from './remoteFile';

/** What is kept equal to the files there, with the most bytes that are taken. */
const METRICS: Growing = {
  file: RUN_FILES.metrics,
  as: RUN_FILES.metrics,
  maxBytes: 2 ** 31,
  wholeLines: true,
};
const LOG: Growing = {
  file: RUN_FILES.log,
  as: RUN_FILES.remoteLog,
  maxBytes: 2 ** 28,
  wholeLines: false,
};
/** What is to be compared when another job continues with a run. */
export const NOT_COMPARED = { [METRICS.as]: null, [LOG.as]: null };
const MOST_INVALID = 3;
const MAX_SKIPPED_BYTES = 2 ** 26;
/** The products of a run: the folders that are fetched at its end. */
const PRODUCTS = [RUN_FILES.adapter, RUN_FILES.model, RUN_FILES.best] as const;
const DISK_RESERVE = 50e6;
const CHECKPOINT = new RegExp(`^${RUN_FILES.checkpoints}/(step-\\d{1,15})/`);

/** The files of the mirror that this process owns. */
export interface MirroredFiles {
  readonly record: RecordFile;
  readonly remote: RemoteFile;
}

/** Keeps the folder of a run equal to the one on its target. */
export class Mirror {
  private readonly versions = new Map<string, string>();
  /** The end of the run, which is recorded when its products are here. */
  private ended: RunRecord | null = null;
  private files: readonly FileThere[] = [];
  private hasOpened = false;
  /** How often run.json was not valid in a row. */
  private invalid = 0;

  constructor(
    private readonly job: PulledJob,
    private readonly own: MirroredFiles,
    private readonly onMetric: (line: MetricLine) => void,
  ) {}

  /** Whether the engine there has recorded the end of the run. */
  get hasEnded(): boolean {
    return this.ended !== null;
  }

  /**
   * Brings what is new. Gives the state of the job from before, so that nothing is missed.
   *
   * @throws LoraError('target'), LoraError('disk'), LoraError('run')
   */
  async pull(): Promise<JobState> {
    const { target, handle, run_dir, signal } = this.job;
    if (!this.hasOpened) {
      // without an incomplete last line
      await (await MetricsFile.open(run_dir)).close();
      this.hasOpened = true;
    }
    const state = await target.state(handle, signal);
    await this.pullFiles().catch((error: unknown) => {
      // a machine that is lost does not answer any more, or what was kept of it is older
      const isLost = state.kind === 'unknown' || (state.kind === 'ended' && state.isLost);
      const isExpected = error instanceof LoraError && /^(?:target|run)$/.test(error.area);
      if (!isLost || !isExpected) throw error;
    });
    return state;
  }

  private async pullFiles(): Promise<void> {
    const { target, handle, signal } = this.job;
    this.files = (await target.list(handle, signal)).filter(({ path: file }) => isInRun(file));
    await this.pullMetrics();
    const log = this.fileOf(LOG.file);
    if (log) await this.pullGrowing(LOG, log);
    await this.pullSkipped();
    await this.pullRecord();
    await this.rememberCheckpoints();
  }

  /**
   * Brings the adapter or model, and the best one, as far as they exist.
   *
   * @throws LoraError('target'), LoraError('disk')
   */
  async pullProducts(onBytes: (received: number, total: number) => void): Promise<void> {
    const { run_dir } = this.job;
    const folders = PRODUCTS.map((name) => ({ name, files: this.filesIn(name) })).filter(
      ({ files }) => files.length > 0,
    );
    const total = sizeOf(folders.flatMap(({ files }) => files));
    const free = await freeDiskBytes(run_dir);
    if (total + DISK_RESERVE > free) throw diskTooSmall(run_dir, total, free);
    let done = 0;
    for (const { name, files } of folders) {
      const before = done;
      await pullFolder(this.job, {
        name,
        files,
        onBytes: (bytes) => onBytes(before + bytes, total),
      });
      await nameBaseHere(path.join(run_dir, name), this.own.record.current.recipe.base);
      done += sizeOf(files);
    }
  }

  /** Records the end that the engine there has recorded. @throws LoraError('disk') */
  async recordEnd(): Promise<void> {
    if (this.ended) await this.own.record.update(this.ended);
  }

  private async pullMetrics(): Promise<void> {
    const there = this.fileOf(METRICS.file);
    if (!there) return;
    const bytes = await this.pullGrowing(METRICS, there);
    for (const text of bytes.toString('utf8').split('\n').slice(0, -1)) {
      const line = parseMetricLine(text);
      if (line) this.onMetric(line);
    }
  }

  /** The remote job's lines in addition to those of an earlier job. */
  private async pullGrowing(growing: Growing, there: FileThere): Promise<Buffer> {
    const { remote } = this.own;
    let earlier = remote.current.earlier?.[growing.as] ?? 0;
    if (remote.current.earlier?.[growing.as] === null) {
      earlier = await bytesOfEarlierJob(this.job, growing, there);
      await remote.update({ earlier: { ...remote.current.earlier, [growing.as]: earlier } });
    }
    return pullGrowing(this.job, { ...growing, earlier }, there);
  }

  private async pullSkipped(): Promise<void> {
    const there = this.fileOf(RUN_FILES.skipped);
    if (there && this.isNew(there)) await pullFile(this.job, there.path, MAX_SKIPPED_BYTES);
  }

  /** An end is only recorded with the products: readers look for them then. */
  private async pullRecord(): Promise<void> {
    const there = this.fileOf(RUN_FILES.record);
    if (!there || !this.isNew(there)) return;
    const value = parsed(await pullBytes(this.job, there.path, MAX_BYTES.runRecord));
    const { record, remote } = this.own;
    const { current } = record;
    const merged = mergeRecord(current, value, remote.current);
    if (merged === null) {
      // it may have been replaced while it was read
      this.versions.delete(there.path);
      if (++this.invalid < MOST_INVALID) return;
      throw new LoraError('target', `run.json on ${this.job.target.name} is not valid.`);
    }
    this.invalid = 0;
    if (!ENDED_STATES.has(merged.state)) {
      this.ended = null;
      await record.update(merged);
      return;
    }
    this.ended = merged;
    await record.update({
      ...merged,
      state: ENDED_STATES.has(current.state) ? 'running' : current.state,
      ended: null,
      error: null,
      result: { ...merged.result, adapter: null, model: null },
    });
  }

  private async rememberCheckpoints(): Promise<void> {
    const names = this.files.flatMap(({ path: file }) => CHECKPOINT.exec(file)?.[1] ?? []);
    const checkpoints = [...new Set(names)].sort();
    const { remote } = this.own;
    if (checkpoints.join() !== remote.current.checkpoints.join())
      await remote.update({ checkpoints });
  }

  private fileOf(name: string): FileThere | undefined {
    return this.files.find(({ path: file }) => file === name);
  }

  private filesIn(folder: string): FileThere[] {
    return this.files.filter(({ path: file }) => file.startsWith(`${folder}/`));
  }

  /** Whether a file has changed since the last call; marks it as seen. */
  private isNew({ path: file, size, version }: FileThere): boolean {
    const key = `${size} ${version}`;
    if (this.versions.get(file) === key) return false;
    this.versions.set(file, key);
    return true;
  }
}

const sizeOf = (files: readonly FileThere[]): number =>
  files.reduce((sum, { size }) => sum + size, 0);

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}

const diskTooSmall = (run_dir: string, bytes: number, free: number): LoraError =>
  new LoraError(
    'disk',
    `What the run has trained needs ${formatSize(bytes + DISK_RESERVE)} of disk space, but only ${formatSize(free)} is free.`,
    {
      place: { file: path.resolve(run_dir) },
      fix: 'Free some disk space, then fetch it with lora fetch.',
    },
  );
