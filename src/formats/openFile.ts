import type { FileHandle } from 'node:fs/promises';
import { fileErrorReason } from '../common/fileStatus';
import { openRegularFile } from '../common/regularFile';
import { LoraError, type ErrorArea } from '../shared/errors';
import { countOf } from '../shared/values';

/** Below the 2 GiB that one system call can read. */
const MAX_READ_BYTES = 1 << 30;

/** A file open for reading. Whoever opened it closes its handle. */
export interface OpenFile {
  readonly file: string;
  readonly handle: FileHandle;
  /** Bytes. */
  readonly size: number;
  /** What the file belongs to: the area of errors about it. */
  readonly area: ErrorArea;
}

/** @throws LoraError(area) when the file cannot be opened. */
export async function openFile(file: string, area: ErrorArea): Promise<OpenFile> {
  try {
    const { handle, info } = await openRegularFile(file);
    return { file, handle, size: info.size, area };
  } catch (error) {
    throw new LoraError(area, `The file cannot be read: ${fileErrorReason(error)}.`, {
      place: { file },
      cause: error,
    });
  }
}

/**
 * Fills `target` with the bytes from `position` on.
 *
 * @throws LoraError when the file ends before.
 */
export async function readFully(
  { file, handle, area }: OpenFile,
  target: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0;
  while (done < target.byteLength) {
    const length = Math.min(MAX_READ_BYTES, target.byteLength - done);
    const { bytesRead } = await handle.read(target, done, length, position + done);
    if (bytesRead === 0) {
      throw new LoraError(
        area,
        `The file ends at byte ${position + done}, within the data that its header promises.`,
        { place: { file }, fix: 'Download or copy it again.' },
      );
    }
    done += bytesRead;
  }
}

/** @throws LoraError('memory') when there is too little memory for a tensor of that many bytes. */
export function allocate(bytes: number, file: string, tensor: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    throw new LoraError(
      'memory',
      `A tensor of ${countOf(bytes, 'byte')} does not fit into memory.`,
      {
        place: { file, tensor },
        cause: error,
      },
    );
  }
}
