import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { formatSize } from '../../common/formatSize';
import { readTextFile } from '../../common/regularFile';
import { storedZip } from '../../common/storedZip';
import { LoraError } from '../../shared/errors';
import {
  MAX_JOBS,
  type BundleItem,
  type ByteRange,
  type Job,
  type JobHandle,
  type JobState,
  type PutOptions,
  type RemoteFile,
  type Target,
  type TargetReport,
} from '../target';
import { runtimeEnvironment } from './environment';
import {
  askJob,
  askNodes,
  askSubmissions,
  askVersion,
  hasPackage,
  putPackage,
  stateOf,
  stopJob,
  submitJob,
  type RayNode,
} from './jobsApi';
import { bytesOf, packagesOf, planItem, readPackage, type ItemPlan } from './packages';
import { RayPipe } from './pipe';
import { RayHttp } from './rayHttp';
import { LogStreams } from './remoteFiles';
import { checkedList, type ListedFile } from './runList';
import { RayStorage } from './storage';
import { TRAINER_DEFAULTS, trainerOf, withoutWorkers, type TrainerSettings } from './trainer';

/** A Ray cluster in the user's settings. */
export interface RayEntry extends TrainerSettings {
  readonly name: string;
  /** The dashboard, such as http://head:8265. */
  readonly address: string;
  /** A folder that all nodes see; null: everything goes through the dashboard. */
  readonly storage: string | null;
  /** Names of environment variables that jobs get. Ray's dashboard shows their values. */
  readonly env: readonly string[];
  /** What a job reserves: 1 CPU, no GPU and no memory by default. Memory in bytes. */
  readonly num_cpus?: number;
  readonly num_gpus?: number;
  readonly memory?: number | null;
  /** The name of the environment variable with the token of the cluster; none by default. */
  readonly token?: string | null;
}

/** What the target needs of this machine. */
export interface RayContext {
  /** The folder of the bundles, which has ray/launch.py. */
  readonly dist: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The API of jobs that this speaks is stable since then. */
const OLDEST_RAY = [2, 9] as const;
/** The head keeps packages in its memory. */
const MAX_SENT_BYTES = 2 * 2 ** 30;
const SUBMISSION = /^lora-(\d{8}-\d{6}-[0-9a-f]{4})(?:-(\d{1,4}))?$/;
const MAX_LIST_BYTES = 8 * 2 ** 20;
/** Files that grow while they are read. The same in engine/ray/launch.py. */
const GROWING = /\.(?:jsonl|log)$/;

/** A Ray cluster, spoken to through the HTTP API of its dashboard. */
export class RayTarget implements Target {
  readonly kind = 'ray';
  readonly name: string;
  private readonly http: RayHttp;
  private readonly streams: LogStreams;
  private readonly storage: RayStorage | null;
  /** The node of each submission: it does not change. */
  private readonly nodes = new Map<string, string>();
  private readonly lists = new Map<string, readonly ListedFile[]>();

  private readonly entry: Required<RayEntry>;

  constructor(
    entry: RayEntry,
    private readonly context: RayContext,
  ) {
    const defaults = { num_cpus: 1, num_gpus: 0, memory: null, token: null, ...TRAINER_DEFAULTS };
    this.entry = { ...defaults, ...entry };
    this.name = entry.name;
    this.http = new RayHttp(entry.address, this.token());
    this.streams = new LogStreams(this.http);
    this.storage =
      entry.storage === null
        ? null
        : new RayStorage(this.http, (job, signal) => this.putJob(job, null, signal));
  }

  dispose(): void {
    this.streams.dispose();
    this.http.dispose();
  }

  async check(signal: AbortSignal): Promise<TargetReport> {
    const { version } = await askVersion(this.http, signal);
    const nodes = await askNodes(this.http, signal);
    const missing = [...tooOld(version), ...this.withoutRoom(nodes)];
    if (this.storage !== null && missing.length === 0)
      missing.push(...(await this.storage.check(signal)));
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
    if (this.storage !== null) {
      const stored = await this.storage.items(signal);
      return new Set(items.map(({ id }) => id).filter((id) => stored.has(id)));
    }
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
    };
    const name = await this.putJob(description, job.recipe, signal);
    await submitJob(
      this.http,
      {
        submission_id: submission,
        entrypoint: 'python launch.py',
        ...this.reserved(job),
        runtime_env: runtimeEnvironment({
          job: name,
          packages,
          variables: this.variables(),
          brings: job.trainer ? 'trainer' : 'node',
        }),
      },
      signal,
    );
    return { job: job.id, values: { submission } };
  }

  async jobs(signal: AbortSignal): Promise<readonly JobHandle[]> {
    const latest = new Map<string, string>();
    for (const submission of await askSubmissions(this.http, signal)) {
      const [, job] = SUBMISSION.exec(submission) ?? [];
      if (job === undefined) continue;
      if (attemptOf(submission) > attemptOf(latest.get(job) ?? '')) latest.set(job, submission);
    }
    return [...latest]
      .sort(([a], [b]) => (a < b ? 1 : -1))
      .slice(0, MAX_JOBS)
      .map(([job, submission]) => ({ job, values: { submission } }));
  }

  async state(handle: JobHandle, signal: AbortSignal): Promise<JobState> {
    const { num_cpus, num_gpus } = this.entry;
    const wants = `${num_cpus} CPU${num_cpus === 1 ? '' : 's'}${num_gpus > 0 ? ` and ${num_gpus} GPU` : ''}`;
    return stateOf(await askJob(this.http, submissionOf(handle), signal), wants);
  }

  async list(handle: JobHandle, signal: AbortSignal): Promise<readonly RemoteFile[]> {
    const files = await this.listed(handle, signal);
    return files.map(({ path: file, size, version }) => ({ path: file, size, version }));
  }

  async read(
    handle: JobHandle,
    file: string,
    { offset, maxBytes }: ByteRange,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const submission = submissionOf(handle);
    const node = await this.nodeOf(submission, signal);
    const listed = await this.find(handle, file, offset, signal);
    if (node === null || listed === undefined) return Buffer.alloc(0);
    const { size, version } = listed;
    const grows = GROWING.test(file);
    const bytes = grows ? Math.min(maxBytes, size - offset) : maxBytes;
    const source = { node, name: `${submission}/run/${file}`, grows, version };
    return this.streams.read(source, { offset, bytes }, signal);
  }

  async hash(handle: JobHandle, file: string, signal: AbortSignal): Promise<string | null> {
    const files = await this.listed(handle, signal);
    return files.find((listed) => listed.path === file)?.sha256 ?? null;
  }

  async stop(handle: JobHandle, signal: AbortSignal): Promise<void> {
    const submission = submissionOf(handle);
    const info = await askJob(this.http, submission, signal);
    if (info?.status === 'PENDING') await this.cancel(submission, signal);
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
    if (known === undefined) return `lora-${id}`;
    const state = await this.state(known, signal);
    const isOver = state.kind === 'ended' || state.kind === 'unknown';
    if (!resume || !isOver)
      throw new LoraError('target', `${this.name} has a job of this run already.`, {
        fix: isOver ? 'Resume it.' : 'Stop it first.',
      });
    return `lora-${id}-${attemptOf(submissionOf(known)) + 1}`;
  }

  /** Ends a job that waits: another one does it, since Ray would wait until the job runs. */
  private async cancel(cancels: string, signal: AbortSignal): Promise<void> {
    const submission = `lora-stop-${randomBytes(8).toString('hex')}`;
    const description = { mode: 'cancel', submission, cancels, job: 'none', items: [] };
    const job = await this.putJob(description, null, signal);
    const environment = { job, packages: [], variables: {}, brings: null };
    await submitJob(
      this.http,
      {
        submission_id: submission,
        entrypoint: 'python launch.py',
        runtime_env: runtimeEnvironment(environment),
      },
      signal,
    );
  }

  /** Sends the launcher and the description of a job. Gives the name of their package. */
  private async putJob(
    description: Readonly<Record<string, unknown>>,
    recipe: string | null,
    signal: AbortSignal,
  ): Promise<string> {
    const launcher = await readTextFile(path.join(this.context.dist, 'ray', 'launch.py'), {
      maxBytes: 2 ** 20,
    });
    const { storage } = this.entry;
    const zip = storedZip({
      'launch.py': launcher,
      'job.json': JSON.stringify({ ...description, storage }),
      ...(recipe !== null && { 'lora.json': recipe }),
    });
    const hash = createHash('sha256').update(zip).digest('hex').slice(0, 32);
    const name = `_ray_pkg_lorajob_${hash}.zip`;
    await putPackage(this.http, name, zip, signal);
    return name;
  }

  private async missingPackages(plan: ItemPlan, signal: AbortSignal): Promise<readonly string[]> {
    const missing: string[] = [];
    for (const name of packagesOf(plan))
      if (!(await hasPackage(this.http, name, signal))) missing.push(name);
    return missing;
  }

  private withoutRoom(nodes: readonly RayNode[]): string[] {
    const { num_cpus, num_gpus } = this.entry;
    if (nodes.length === 0) return ['The cluster has no node that is alive.'];
    if (this.entry.engine === 'ray-train') return withoutWorkers(nodes, this.entry);
    const fits = nodes.some(({ offers }) => offers.cpus >= num_cpus && offers.gpus >= num_gpus);
    if (fits) return [];
    return [
      `No node has the ${num_cpus} CPUs and ${num_gpus} GPUs that a job reserves: lower num_cpus or num_gpus in the entry of ${this.name}.`,
    ];
  }

  /** Null: the job has not begun. */
  private async nodeOf(submission: string, signal: AbortSignal): Promise<string | null> {
    const known = this.nodes.get(submission);
    if (known !== undefined) return known;
    const node = (await askJob(this.http, submission, signal))?.driver_node_id ?? null;
    if (node !== null) this.nodes.set(submission, node);
    return node;
  }

  private async listed(handle: JobHandle, signal: AbortSignal): Promise<readonly ListedFile[]> {
    const submission = submissionOf(handle);
    const node = await this.nodeOf(submission, signal);
    if (node === null) return [];
    const source = { node, name: `${submission}/files.json`, grows: false };
    const files = checkedList(await this.wholeFile(source, signal));
    this.lists.set(submission, files);
    return files;
  }

  private async wholeFile(
    source: { node: string; name: string; grows: boolean },
    signal: AbortSignal,
  ): Promise<Buffer> {
    const streams = new LogStreams(this.http);
    try {
      const range = { offset: 0, bytes: MAX_LIST_BYTES };
      return await streams.read({ ...source, version: '' }, range, signal);
    } finally {
      streams.dispose();
    }
  }

  /** The entry of a file, listed again if it should have grown. */
  private async find(
    handle: JobHandle,
    file: string,
    offset: number,
    signal: AbortSignal,
  ): Promise<ListedFile | undefined> {
    const within = (files: readonly ListedFile[]) =>
      files.find((listed) => listed.path === file && listed.size > offset);
    const known = within(this.lists.get(submissionOf(handle)) ?? []);
    return known ?? within(await this.listed(handle, signal));
  }
}

function tooOld(version: string): string[] {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < OLDEST_RAY[0] || (major === OLDEST_RAY[0] && minor < OLDEST_RAY[1]);
  return isOld ? [`The cluster runs Ray ${version}: ${OLDEST_RAY.join('.')} is needed.`] : [];
}

function refuseTooMuch(items: readonly BundleItem[]): void {
  const bytes = items.flatMap(({ files }) => files).reduce((sum, { size }) => sum + size, 0);
  if (bytes <= MAX_SENT_BYTES) return;
  throw new LoraError(
    'target',
    `There are ${formatSize(bytes)} to send: the head of a cluster keeps at most ${formatSize(MAX_SENT_BYTES)} in its memory.`,
    {
      fix: 'Name a folder that all nodes see in the entry of the target ("storage"), or where they have the base already ("bases").',
    },
  );
}

const attemptOf = (submission: string): number => {
  const found = SUBMISSION.exec(submission);
  return found === null ? 0 : Number(found[2] ?? 1);
};

/** The submission of a handle, which may come from a file. @throws LoraError('target') */
function submissionOf({ values: { submission } }: JobHandle): string {
  if (typeof submission === 'string' && SUBMISSION.test(submission)) return submission;
  throw new LoraError('target', 'The job is none of a Ray cluster.');
}
