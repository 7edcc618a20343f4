import type { ByteRange, JobHandle } from '../target';
import { askJob } from './jobsApi';
import type { RayHttp } from './rayHttp';
import { LogStreams } from './remoteFiles';
import { checkedList, type ListedFile } from './runList';
import { submissionOf } from './submissions';

const MAX_LIST_BYTES = 8 * 2 ** 20;
/** Files that grow while they are read. The same in engine/ray/job.py. */
const GROWING = /\.(?:jsonl|log)$/;

/** The run folders of jobs, which their launchers publish in the logs of their nodes. */
export class NodeFiles {
  private readonly streams: LogStreams;
  /** The node of each submission: it does not change. */
  private readonly nodes = new Map<string, string>();
  private readonly lists = new Map<string, readonly ListedFile[]>();

  constructor(private readonly http: RayHttp) {
    this.streams = new LogStreams(http);
  }

  dispose(): void {
    this.streams.dispose();
  }

  /** Null: the job has no node yet, or the cluster does not know it. */
  async list(handle: JobHandle, signal: AbortSignal): Promise<readonly ListedFile[] | null> {
    const submission = submissionOf(handle);
    const node = await this.nodeOf(submission, signal);
    if (node === null) return null;
    const files = checkedList(await this.wholeFile(node, `${submission}/files.json`, signal));
    this.lists.set(submission, files);
    return files;
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

  private async nodeOf(submission: string, signal: AbortSignal): Promise<string | null> {
    const known = this.nodes.get(submission);
    if (known !== undefined) return known;
    const node = (await askJob(this.http, submission, signal))?.driver_node_id ?? null;
    if (node !== null) this.nodes.set(submission, node);
    return node;
  }

  private async wholeFile(node: string, name: string, signal: AbortSignal): Promise<Buffer> {
    const streams = new LogStreams(this.http);
    try {
      const range = { offset: 0, bytes: MAX_LIST_BYTES };
      return await streams.read({ node, name, grows: false, version: '' }, range, signal);
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
    const within = (files: readonly ListedFile[] | null) =>
      files?.find((listed) => listed.path === file && listed.size > offset);
    const known = within(this.lists.get(submissionOf(handle)) ?? []);
    return known ?? within(await this.list(handle, signal));
  }
}
