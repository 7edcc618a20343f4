import { open } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { formatSize } from '../../common/formatSize';
import { LoraError } from '../../shared/errors';
import {
  MAX_FILES,
  type BundleFile,
  type BundleItem,
  type ByteRange,
  type Job,
  type JobHandle,
  type JobState,
  type PutOptions,
  type RemoteFile,
  type Target,
  type TargetKind,
  type TargetReport,
  type TargetUsage,
} from '../target';
import type { Answer, Method, Questions } from '../agent/protocol';
import { cancelled, throwIfAborted } from '../targetError';
import type { SshEntry } from '../targetSchema';
import { AgentConnection, type AgentPlace, type CallOptions } from './agentConnection';
import { openWithNode } from './installNode';

/** What a target needs beside its entry. */
export interface SshOptions {
  /** The source of the agent. */
  readonly agent: Buffer;
  /** The values of the variables that the entry names. */
  readonly env: Readonly<Record<string, string>>;
  /** The platforms that this build has a binding for. */
  readonly platforms: readonly string[];
  /** Arguments of sbatch, where Slurm starts the jobs. */
  readonly sbatch?: readonly string[];
}

const CHUNK_BYTES = 2 ** 20;
/** Chunks on their way, so that a distant machine is not waited for after each. */
const CHUNKS_AHEAD = 16;
const BUSY_POLL_MS = 1_000;
/** Disk space that stays free there. */
const RESERVE_BYTES = 50e6;

/** A machine that is reached by the system's ssh, where the agent does the work. */
export class SshTarget implements Target {
  readonly kind: TargetKind = 'ssh';
  private connection: Promise<AgentConnection> | null = null;
  private isDisposed = false;

  constructor(
    private readonly entry: Omit<SshEntry, 'kind'>,
    private readonly options: SshOptions,
  ) {}

  get name(): string {
    return this.entry.name;
  }

  async check(signal: AbortSignal): Promise<TargetReport> {
    const { node } = await this.connected(signal);
    const { machine, runtime } = await this.ask('machine', {}, { signal });
    const { platform } = machine;
    const isKnown = platform === null || this.options.platforms.includes(platform);
    return {
      machines: [machine],
      node,
      runtime,
      missing: isKnown
        ? []
        : [
            `This installation has no binding for ${platform}: install LoRA Workbench of that platform here, or train there on WebAssembly (env LORA_RUNTIME=wasm).`,
          ],
    };
  }

  async present(items: readonly BundleItem[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { present } = await this.ask('present', { items: items.map(({ id }) => id) }, { signal });
    return new Set(present);
  }

  async findModel(name: string, signal: AbortSignal): Promise<string | null> {
    return (await this.ask('model', { name }, { signal })).path;
  }

  usage(signal: AbortSignal): Promise<TargetUsage> {
    return this.ask('usage', {}, { signal });
  }

  async clean(items: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    return (await this.ask('clean', { items }, { signal })).removed;
  }

  async put(items: readonly BundleItem[], { signal, onProgress }: PutOptions): Promise<void> {
    let sent = 0;
    for (const item of items) {
      const before = sent;
      await this.putItem(item, signal, (bytes) => {
        sent = before + bytes;
        onProgress(sent);
      });
      sent = before + sizeOf(item.files);
      onProgress(sent);
    }
  }

  async start(job: Job, signal: AbortSignal, onStep?: (text: string) => void): Promise<JobHandle> {
    const { id, engine, recipe, resume } = job;
    const { env, sbatch = null } = this.options;
    if (env['LORA_RUNTIME'] !== 'wasm')
      await this.ask('runtime', { engine }, { signal, ...(onStep && { onStep }) });
    const question = { job: id, engine, recipe, resume, env, sbatch };
    const { number } = await this.ask('start', question, { signal });
    return { job: id, values: sbatch === null ? { pid: number } : { number } };
  }

  async jobs(signal: AbortSignal): Promise<readonly JobHandle[]> {
    const { jobs } = await this.ask('jobs', {}, { signal });
    return jobs.map((job) => ({ job, values: {} }));
  }

  async state({ job }: JobHandle, signal: AbortSignal): Promise<JobState> {
    return (await this.ask('state', { job }, { signal })).state;
  }

  async list({ job }: JobHandle, signal: AbortSignal): Promise<readonly RemoteFile[]> {
    return (await this.ask('list', { job }, { signal })).files.slice(0, MAX_FILES);
  }

  async read(
    { job }: JobHandle,
    file: string,
    { offset, maxBytes }: ByteRange,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { body } = await this.ask('read', { job, file, offset, maxBytes }, { signal });
    return body.subarray(0, maxBytes);
  }

  async hash({ job }: JobHandle, file: string, signal: AbortSignal): Promise<string> {
    return (await this.ask('hash', { job, file }, { signal })).sha256;
  }

  async clock(signal: AbortSignal): Promise<number> {
    return (await this.ask('clock', {}, { signal })).now;
  }

  async stop({ job }: JobHandle, signal: AbortSignal): Promise<void> {
    await this.ask('stop', { job }, { signal });
  }

  async remove({ job }: JobHandle, signal: AbortSignal): Promise<void> {
    await this.ask('remove', { job }, { signal });
  }

  async connect({ job }: JobHandle, signal: AbortSignal): Promise<Duplex | null> {
    const connection = await AgentConnection.open(this.place(), signal);
    try {
      return await connection.join(job, signal);
    } catch (error) {
      connection.dispose();
      throw error;
    }
  }

  dispose(): void {
    this.isDisposed = true;
    void this.connection?.then(
      (connection) => connection.dispose(),
      () => undefined,
    );
    this.connection = null;
  }

  private async putItem(
    item: BundleItem,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const begun = await this.begin(item, signal);
    if (begun === null) return;
    this.refuseFullDisk(item, begun);
    let done = 0;
    for (const file of item.files) {
      const before = done;
      const from = Math.min(begun.sizes[file.path] ?? 0, file.size);
      await this.putFile(item.id, file, {
        from,
        signal,
        onBytes: (bytes) => onBytes(before + bytes),
      });
      done += file.size;
    }
    const files = item.files.map(({ path, size, sha256 }) => ({ path, size, sha256 }));
    await this.ask('finish', { item: item.id, files }, { signal });
  }

  /** Null: the item is there by now. Waits while another connection sends it. */
  private async begin(
    { id }: BundleItem,
    signal: AbortSignal,
  ): Promise<Extract<Answer<'begin'>, { state: 'begun' }> | null> {
    for (;;) {
      const answer = await this.ask('begin', { item: id }, { signal });
      if (answer.state === 'begun') return answer;
      if (answer.state === 'present') return null;
      await wait(BUSY_POLL_MS, undefined, { signal }).catch(() => {
        throw cancelled();
      });
    }
  }

  private refuseFullDisk(
    { files, label }: BundleItem,
    { sizes, free }: Extract<Answer<'begin'>, { state: 'begun' }>,
  ): void {
    const there = Object.values(sizes).reduce((sum, size) => sum + size, 0);
    const needed = sizeOf(files) - there;
    if (needed + RESERVE_BYTES <= free) return;
    throw new LoraError(
      'target',
      `${this.name} has no room for the ${label}: it needs ${formatSize(needed + RESERVE_BYTES)}, but only ${formatSize(free)} is free.`,
      { fix: 'Free some disk space there, or name another "root" in targets.json.' },
    );
  }

  /** The hash that is checked at the end covers what an earlier transfer has left, too. */
  private async putFile(item: string, file: BundleFile, transfer: Transfer): Promise<void> {
    const { from, signal, onBytes } = transfer;
    const connection = await this.connected(signal);
    const handle = await open(file.source);
    const onTheWay: Promise<unknown>[] = [];
    try {
      let offset = from;
      do {
        throwIfAborted(signal);
        const length = Math.min(CHUNK_BYTES, file.size - offset);
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
        const question = { item, file: file.path, offset };
        const body = buffer.subarray(0, bytesRead);
        const end = offset + bytesRead;
        const answer = connection.ask('write', question, { signal, body });
        onTheWay.push(answer.then(() => onBytes(end)));
        // its failure is met below
        answer.catch(() => undefined);
        if (onTheWay.length >= CHUNKS_AHEAD) await onTheWay.shift();
        await connection.drained();
        if (bytesRead < length) break;
        offset = end;
      } while (offset < file.size);
      await Promise.all(onTheWay);
    } finally {
      await Promise.allSettled(onTheWay);
      await handle.close();
    }
  }

  protected async ask<M extends Method>(
    method: M,
    params: Questions[M],
    options: CallOptions,
  ): Promise<Answer<M> & { readonly body: Buffer }> {
    return (await this.connected(options.signal)).ask(method, params, options);
  }

  /** The connection, a new one where the last has ended. */
  private async connected(signal: AbortSignal): Promise<AgentConnection> {
    const current = await this.connection?.catch(() => null);
    if (current?.isOpen) return current;
    if (this.isDisposed) throw cancelled();
    this.connection = openWithNode(this.place(), signal);
    return this.connection;
  }

  private place(): AgentPlace {
    const { host, config, node, root } = this.entry;
    return { host, config, node, root, agent: this.options.agent };
  }
}

interface Transfer {
  /** The bytes that are there already. */
  readonly from: number;
  readonly signal: AbortSignal;
  /** Bytes of the file that are there. */
  readonly onBytes: (bytes: number) => void;
}

const sizeOf = (files: readonly BundleFile[]): number =>
  files.reduce((sum, { size }) => sum + size, 0);
