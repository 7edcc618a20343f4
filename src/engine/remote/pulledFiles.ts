import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { replaceFile, replaceFolder, writeAll } from '../../common/atomicWrite';
import { formatSize } from '../../common/formatSize';
import { hashFile } from '../../common/hashFile';
import { makeFolder } from '../../common/makeFolder';
import { openForAppending } from '../../common/withoutLinks';
import { LoraError } from '../../shared/errors';
import type { JobHandle, RemoteFile, Target } from '../../targets/target';

/** A job whose files are brought here. */
export interface PulledJob {
  readonly target: Target;
  readonly handle: JobHandle;
  readonly run_dir: string;
  readonly signal: AbortSignal;
}

const CHUNK_BYTES = 2 ** 20;
const LINE_FEED = 10;

/** A file that grows there, and is kept equal here from byte to byte. */
export interface Growing {
  /** Its name there. */
  readonly file: string;
  /** Its name here. */
  readonly as: string;
  readonly maxBytes: number;
  /** Only whole lines are taken: an engine that is resumed drops the rest. */
  readonly wholeLines: boolean;
}

/**
 * Appends what is new of a file. Its size here, without the bytes of an earlier job, is the offset
 * there, so that nothing is taken twice or lost, whenever this process ends. Gives what was
 * appended.
 *
 * @throws LoraError('target'), LoraError('disk'), LoraError('run') when the file here is not the
 *   beginning of the one there
 */
export async function pullGrowing(
  job: PulledJob,
  growing: Growing & { readonly earlier: number },
  there: RemoteFile,
): Promise<Buffer> {
  const { target, handle, run_dir, signal } = job;
  const file = path.join(run_dir, growing.as);
  const local = await openForAppending(file, run_dir);
  const taken: Buffer[] = [];
  try {
    let offset = (await local.stat()).size - growing.earlier;
    if (offset < 0 || offset > there.size) throw shrunk(file, target.name);
    if (there.size > growing.maxBytes) throw tooLarge(growing.file, target.name, growing.maxBytes);
    while (offset < there.size) {
      const range = { offset, maxBytes: Math.min(CHUNK_BYTES, there.size - offset) };
      const bytes = Buffer.from(await target.read(handle, growing.file, range, signal));
      const end = growing.wholeLines ? bytes.lastIndexOf(LINE_FEED) + 1 : bytes.length;
      if (end === 0) break;
      await writeAll(local, bytes.subarray(0, end));
      taken.push(bytes.subarray(0, end));
      offset += end;
    }
  } finally {
    await local.close();
  }
  return Buffer.concat(taken);
}

/**
 * The content of a small file, which may have been replaced since it was listed.
 *
 * @throws LoraError('target') when it cannot be read or has more than `maxBytes`
 */
export async function pullBytes(
  { target, handle, signal }: PulledJob,
  file: string,
  maxBytes: number,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let offset = 0; ;) {
    const range = { offset, maxBytes: CHUNK_BYTES };
    const bytes = Buffer.from(await target.read(handle, file, range, signal));
    parts.push(bytes);
    offset += bytes.length;
    if (offset > maxBytes) throw tooLarge(file, target.name, maxBytes);
    if (bytes.length < CHUNK_BYTES) return Buffer.concat(parts);
  }
}

/** Brings a small file as a whole. @throws LoraError('target' | 'disk') */
export async function pullFile(job: PulledJob, file: string, maxBytes: number): Promise<void> {
  const bytes = await pullBytes(job, file, maxBytes);
  await replaceFile(path.join(job.run_dir, file), (handle) => writeAll(handle, bytes));
}

/** A folder that is brought, and how far that is. */
export interface PulledFolder {
  readonly name: string;
  readonly files: readonly RemoteFile[];
  /** Bytes of the folder that are here. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Brings a folder as a whole: under another name until all files are here and have the hashes that
 * they have there.
 *
 * @throws LoraError('target' | 'disk'), the folder here as it was
 */
export async function pullFolder(
  job: PulledJob,
  { name, files, onBytes }: PulledFolder,
): Promise<void> {
  let done = 0;
  await replaceFolder(path.join(job.run_dir, name), async (temp) => {
    for (const file of files) {
      const inner = file.path.slice(name.length + 1).split('/');
      const local = path.join(temp, ...inner);
      await makeFolder(path.dirname(local));
      const before = done;
      await pullInto(job, file, { local, onBytes: (bytes) => onBytes(before + bytes) });
      done += file.size;
    }
  });
}

interface Destination {
  readonly local: string;
  readonly onBytes: (bytes: number) => void;
}

async function pullInto(
  { target, handle, signal }: PulledJob,
  { path: file, size }: RemoteFile,
  { local, onBytes }: Destination,
): Promise<void> {
  const output: FileHandle = await open(local, 'wx');
  try {
    for (let offset = 0; offset < size;) {
      const range = { offset, maxBytes: Math.min(CHUNK_BYTES, size - offset) };
      const bytes = await target.read(handle, file, range, signal);
      if (bytes.length === 0) throw changed(file, target.name);
      await writeAll(output, bytes);
      offset += bytes.length;
      onBytes(offset);
    }
    await output.sync();
  } finally {
    await output.close();
  }
  const there = await target.hash(handle, file, signal);
  if (there !== null && there !== (await hashFile(local))) throw changed(file, target.name);
}

const changed = (file: string, name: string): LoraError =>
  new LoraError('target', `${file} from ${name} was changed in transit.`, {
    fix: 'Fetch the run again.',
  });

const tooLarge = (file: string, name: string, maxBytes: number): LoraError =>
  new LoraError(
    'target',
    `${file} on ${name} is larger than the ${formatSize(maxBytes)} that are read of it.`,
  );

const shrunk = (file: string, name: string): LoraError =>
  new LoraError('run', `The file is longer than on ${name}, so it belongs to another run.`, {
    place: { file },
    fix: 'Follow the run in a new folder with lora attach.',
  });
