import type { Duplex } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { LoraError } from '../../shared/errors';
import { isBucketUrl } from '../s3/place';
import { throwIfAborted } from '../targetError';
import type {
  BundleItem,
  ByteRange,
  Job,
  JobHandle,
  JobState,
  PutOptions,
  RemoteFile,
  Target,
  TargetReport,
  TargetUsage,
} from '../target';
import { BucketFiles } from './bucketFiles';
import {
  askJob,
  askNodes,
  askStatuses,
  askVersion,
  hasPackage,
  putPackage,
  stateOf,
  stopJob,
} from './jobsApi';
import { Launcher } from './launcher';
import { NodeFiles } from './nodeFiles';
import { bytesOf, packagesOf, planItem, readPackage, type ItemPlan } from './packages';
import { RayPipe } from './pipe';
import { withDefaults, type RayContext, type RayEntry } from './rayEntry';
import { RayHttp } from './rayHttp';
import { NodeLost } from './remoteFiles';
import { refuseTooMuch, roomInWords, tooOld, unfitStorage, withoutRoom } from './room';
import type { ListedFile } from './runList';
import { RayStorage } from './storage';
import { attemptOf, lastSubmissions, submissionName, submissionOf } from './submissions';
import { trainerOf } from './trainer';

/** How long a job that is removed may take to end. */
const END_MS = 60_000;
const POLL_MS = 500;
/** What Ray calls a job that has not ended. */
const KINDS: ReadonlyMap<string, JobState['kind']> = new Map([
  ['PENDING', 'queued'],
  ['RUNNING', 'running'],
]);

/** A Ray cluster, spoken to through the HTTP API of its dashboard. */
export class RayTarget implements Target {
  readonly kind = 'ray';
  readonly name: string;
  /** Missing without a storage, where nothing is left of a job that has ended. */
  readonly remove?: NonNullable<Target['remove']>;
  private readonly entry: Required<RayEntry>;
  private readonly http: RayHttp;
  private readonly launcher: Launcher;
  private readonly nodeFiles: NodeFiles;
  /** At most one of the two. */
  private readonly storage: RayStorage | null = null;
  private readonly bucket: BucketFiles | null = null;
  /** Submissions whose files are read from the bucket: their nodes do not answer any more. */
  private readonly kept = new Set<string>();

  constructor(
    entry: RayEntry,
    private readonly context: RayContext,
  ) {
    this.entry = withDefaults(entry);
    this.name = entry.name;
    this.http = new RayHttp(entry.address, this.token());
    this.nodeFiles = new NodeFiles(this.http);
    const { storage, endpoint, region } = this.entry;
    const bucket =
      storage !== null && isBucketUrl(storage) ? { url: storage, endpoint, region } : null;
    this.launcher = new Launcher(this.http, context.dist, bucket ?? storage);
    if (storage === null) return;
    if (bucket) this.bucket = new BucketFiles(bucket, context.env);
    else this.storage = new RayStorage(this.launcher);
    this.remove = (handle, signal) => this.removeJob(handle, signal);
  }

  dispose(): void {
    this.nodeFiles.dispose();
    this.http.dispose();
  }

  async check(signal: AbortSignal): Promise<TargetReport> {
    const { version } = await askVersion(this.http, signal);
    const nodes = await askNodes(this.http, signal);
    const missing = [
      ...tooOld(version),
      ...withoutRoom(nodes, this.entry),
      ...unfitStorage(this.entry),
    ];
    const storage = this.storage ?? this.bucket;
    if (storage !== null && missing.length === 0) missing.push(...(await storage.check(signal)));
    return {
      machines: nodes.map(({ machine }) => machine),
      node: null,
      runtime: null,
      missing,
    };
  }

  async clock(signal: AbortSignal): Promise<number | null> {
    return (await askVersion(this.http, signal)).time;
  }

  async present(items: readonly BundleItem[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    await askVersion(this.http, signal);
    if (this.storage !== null)
      return this.storage.items(
        items.map(({ id }) => id),
        signal,
      );
    const present = new Set<string>();
    for (const item of items) {
      const missing = await this.missingPackages(planItem(item), signal);
      if (missing.length === 0) present.add(item.id);
    }
    return present;
  }

  async put(items: readonly BundleItem[], { signal, onProgress }: PutOptions): Promise<void> {
    await askVersion(this.http, signal);
    let sent = 0;
    const send = async (item: BundleItem, plan: ItemPlan, name: string) => {
      const pieces = plan.pieces.filter((piece) => piece.package === name);
      await putPackage(this.http, name, await readPackage(item, pieces), signal);
      onProgress((sent += bytesOf(pieces)));
    };
    if (this.storage !== null) return this.storage.put(items, send, signal);
    refuseTooMuch(items);
    for (const item of items) {
      const plan = planItem(item);
      const missing = new Set(await this.missingPackages(plan, signal));
      for (const name of packagesOf(plan)) {
        if (missing.has(name)) await send(item, plan, name);
        else onProgress((sent += bytesOf(plan.pieces.filter((piece) => piece.package === name))));
      }
    }
  }

  async start(job: Job, signal: AbortSignal): Promise<JobHandle> {
    const [unfit] = unfitStorage(this.entry);
    if (unfit !== undefined) throw new LoraError('target', unfit);
    const submission = await this.newSubmission(job, signal);
    const plans = job.items.map((item) => planItem(item));
    const packages: string[] = [];
    for (const plan of this.storage === null ? plans : []) {
      if ((await this.missingPackages(plan, signal)).length > 0)
        throw new LoraError('target', `The ${plan.label} is no longer on ${this.name}.`, {
          fix: 'Start the run again: it is sent again.',
        });
      packages.push(...packagesOf(plan));
    }
    const description = {
      mode: 'train',
      submission,
      job: job.id,
      engine: job.engine,
      resume: job.resume,
      items: plans,
      gpu: this.entry.num_gpus > 0,
      ...(job.trainer && { trainer: { ...job.trainer, ...trainerOf(this.entry) } }),
    } as const;
    const submitted = {
      recipe: job.recipe,
      packages,
      variables: this.variables(),
      brings: job.trainer ? 'trainer' : 'node',
      reserved: this.reserved(job),
    } as const;
    await this.launcher.submit(description, submitted, signal);
    return { job: job.id, values: { submission } };
  }

  async jobs(signal: AbortSignal): Promise<readonly JobHandle[]> {
    return lastSubmissions((await askStatuses(this.http, signal)).keys());
  }

  async state(handle: JobHandle, signal: AbortSignal): Promise<JobState> {
    const info = await askJob(this.http, submissionOf(handle), signal);
    return stateOf(info, roomInWords(this.entry));
  }

  async list(handle: JobHandle, signal: AbortSignal): Promise<readonly RemoteFile[]> {
    const files = await this.listed(handle, signal);
    return files.map(({ path: file, size, version }) => ({ path: file, size, version }));
  }

  read(
    handle: JobHandle,
    file: string,
    range: ByteRange,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const isKept = this.bucket !== null && this.kept.has(submissionOf(handle));
    const source = isKept ? this.bucket : this.nodeFiles;
    return source.read(handle, file, range, signal);
  }

  async hash(handle: JobHandle, file: string, signal: AbortSignal): Promise<string | null> {
    const files = await this.listed(handle, signal);
    return files.find((listed) => listed.path === file)?.sha256 ?? null;
  }

  async usage(signal: AbortSignal): Promise<TargetUsage> {
    const states = await this.states(signal);
    const usage = await this.storage?.usage(goingIn(states), signal);
    const jobs = usage?.jobs ?? (await this.bucket?.usage(signal)) ?? [];
    return {
      items: usage?.items ?? [],
      jobs: jobs.map((job) => ({ ...job, state: states.get(job.job) ?? 'unknown' })),
    };
  }

  async clean(items: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    if (this.storage === null) return [];
    const going = goingIn(await this.states(signal));
    return this.storage.clean({ items, jobs: [], going }, signal);
  }

  async stop(handle: JobHandle, signal: AbortSignal): Promise<void> {
    const submission = submissionOf(handle);
    const info = await askJob(this.http, submission, signal);
    if (info?.status === 'PENDING') await this.launcher.cancel(submission, signal);
    else await stopJob(this.http, submission, signal);
  }

  async connect(handle: JobHandle, signal: AbortSignal): Promise<Duplex | null> {
    const submission = submissionOf(handle);
    const info = await askJob(this.http, submission, signal);
    if (info?.status !== 'RUNNING' || info.driver_node_id === null) return null;
    return RayPipe.open(this.http, { submission, node: info.driver_node_id }, signal);
  }

  /** What a job reserves itself; the workers of Ray Train reserve theirs. */
  private reserved({ trainer }: Job): Readonly<Record<string, number>> {
    const { num_cpus, num_gpus, memory } = this.entry;
    if (trainer) return { entrypoint_num_cpus: 0 };
    return {
      entrypoint_num_cpus: num_cpus,
      entrypoint_num_gpus: num_gpus,
      ...(memory !== null && { entrypoint_memory: memory }),
    };
  }

  private token(): string | null {
    const { token } = this.entry;
    if (token === null) return null;
    const value = this.context.env[token] ?? '';
    if (value !== '') return value;
    throw new LoraError('target', `The environment variable ${token} is not set here.`, {
      fix: `Set it to the token of the cluster, or remove it from the entry of ${this.entry.name}.`,
    });
  }

  /** The variables that the entry names, where they are set here. */
  private variables(): Record<string, string> {
    const { env } = this.context;
    const known = this.entry.env.filter((name) => env[name] !== undefined);
    return Object.fromEntries(known.map((name) => [name, env[name]!]));
  }

  /** A name for a submission that the cluster does not know yet. */
  private async newSubmission({ id, resume }: Job, signal: AbortSignal): Promise<string> {
    const known = (await this.jobs(signal)).find(({ job }) => job === id);
    if (known === undefined) return submissionName(id, 1);
    const state = await this.state(known, signal);
    const isOver = state.kind === 'ended' || state.kind === 'unknown';
    if (!resume || !isOver)
      throw new LoraError('target', `${this.name} has a job of this run already.`, {
        fix: isOver ? 'Resume it.' : 'Stop it first.',
      });
    return submissionName(id, attemptOf(submissionOf(known)) + 1);
  }

  private async missingPackages(plan: ItemPlan, signal: AbortSignal): Promise<readonly string[]> {
    const missing: string[] = [];
    for (const name of packagesOf(plan))
      if (!(await hasPackage(this.http, name, signal))) missing.push(name);
    return missing;
  }

  /** Where each job is that the cluster knows. */
  private async states(signal: AbortSignal): Promise<ReadonlyMap<string, JobState['kind']>> {
    const statuses = await askStatuses(this.http, signal);
    return new Map(
      lastSubmissions(statuses.keys()).map((handle) => [
        handle.job,
        KINDS.get(statuses.get(submissionOf(handle))!) ?? 'ended',
      ]),
    );
  }

  /** Of a node that does not answer any more, what the bucket has kept. */
  private async listed(handle: JobHandle, signal: AbortSignal): Promise<readonly ListedFile[]> {
    const { bucket } = this;
    if (bucket === null) return (await this.nodeFiles.list(handle, signal)) ?? [];
    const submission = submissionOf(handle);
    const found = await this.nodeFiles.list(handle, signal).catch((error: unknown) => {
      if (error instanceof NodeLost) return error;
      throw error;
    });
    this.kept.delete(submission);
    if (found !== null && !(found instanceof NodeLost)) return found;
    const { kind } = await this.state(handle, signal);
    if (kind === 'ended' || kind === 'unknown') {
      this.kept.add(submission);
      return bucket.list(handle, signal);
    }
    if (found !== null) throw found;
    return [];
  }

  private async removeJob(handle: JobHandle, signal: AbortSignal): Promise<void> {
    await this.stop(handle, signal);
    const limit = Date.now() + END_MS;
    for (;;) {
      throwIfAborted(signal);
      const { kind } = await this.state(handle, signal);
      if (kind === 'ended' || kind === 'unknown') break;
      if (Date.now() > limit)
        throw new LoraError('target', `The job on ${this.name} does not end.`, {
          fix: 'Remove the run when it has ended.',
        });
      await wait(POLL_MS);
    }
    const going = goingIn(await this.states(signal));
    await this.storage?.clean({ items: [], jobs: [handle.job], going }, signal);
    await this.bucket?.remove(handle, signal);
  }
}

const goingIn = (states: ReadonlyMap<string, JobState['kind']>): readonly string[] =>
  [...states].filter(([, kind]) => kind === 'queued' || kind === 'running').map(([job]) => job);
