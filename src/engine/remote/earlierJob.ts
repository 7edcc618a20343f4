import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { openForAppending } from '../../common/withoutLinks';
import type { RemoteFile } from '../../targets/target';
import type { Growing, PulledJob } from './pulledFiles';

const CHUNK_BYTES = 2 ** 20;
/** The last lines of a file tell it apart from others: they have times. */
const TAIL_BYTES = 2 ** 16;
const LINE_FEED = 10;

/**
 * How many bytes at the end of a file here the job there does not have, since an earlier job of the
 * run wrote them after the checkpoint that this one continues from. What it writes follows them, as
 * when an engine resumes a run here.
 *
 * @throws LoraError('target')
 */
export async function bytesOfEarlierJob(
  job: PulledJob,
  { file, as, wholeLines }: Growing,
  there: RemoteFile,
): Promise<number> {
  const local = await openForAppending(path.join(job.run_dir, as), job.run_dir);
  try {
    const { size } = await local.stat();
    const compared: Compared = { job, file, local, end: Math.min(size, there.size) };
    if (compared.end === size) {
      const tail = await compare(compared, Math.max(0, size - TAIL_BYTES));
      if (tail.bytes === size) return 0;
    }
    // a log that is another one is kept as a whole
    return wholeLines ? size - (await compare(compared, 0)).lines : size;
  } finally {
    await local.close();
  }
}

interface Compared {
  readonly job: PulledJob;
  readonly file: string;
  readonly local: FileHandle;
  readonly end: number;
}

/** Where the files begin to differ from an offset on, and where the last equal line ends. */
async function compare(
  { job: { target, handle, signal }, file, local, end }: Compared,
  from: number,
): Promise<{ readonly bytes: number; readonly lines: number }> {
  let [bytes, lines] = [from, from];
  while (bytes < end) {
    const range = { offset: bytes, maxBytes: Math.min(CHUNK_BYTES, end - bytes) };
    const there = await target.read(handle, file, range, signal);
    const { buffer: here } = await local.read(Buffer.alloc(there.length), 0, there.length, bytes);
    const differs = here.findIndex((byte, i) => byte !== there[i]);
    const equal = differs < 0 ? here : here.subarray(0, differs);
    const newline = equal.lastIndexOf(LINE_FEED);
    if (newline >= 0) lines = bytes + newline + 1;
    bytes += equal.length;
    if (there.length === 0 || differs >= 0) break;
  }
  return { bytes, lines };
}
