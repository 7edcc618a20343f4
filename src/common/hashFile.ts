import { createHash, type Hash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { openRegularFile } from './regularFile';

const CHUNK_BYTES = 2 ** 20;

/** How a file is hashed. */
export interface HashFileOptions {
  /** A hash that the file's bytes are added to; sha256 by default. */
  readonly hash?: Hash;
  /** Called with the length of each chunk; what it throws ends the reading. */
  readonly onBytes?: (count: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * The hash of a file, as hex digits. Reads the file as a stream, so its size doesn't matter.
 *
 * @throws FileRefused for anything but a regular file; the file system's error; an AbortError when
 *   `signal` is aborted; what `onBytes` throws.
 */
export async function hashFile(
  file: string,
  { hash = createHash('sha256'), onBytes, signal }: HashFileOptions = {},
): Promise<string> {
  const { handle } = await openRegularFile(file);
  await pipeline(
    handle.createReadStream({ highWaterMark: CHUNK_BYTES }),
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        onBytes?.(chunk.length);
        hash.update(chunk);
      }
    },
    { ...(signal && { signal }) },
  );
  return hash.digest('hex');
}
