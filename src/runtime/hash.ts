import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** The sha256 of a file, in hex. Errors: the file system's; an AbortError. */
export async function sha256Of(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(
    createReadStream(file, { highWaterMark: 2 ** 20 }),
    hash,
    ...(signal ? [{ signal }] : []),
  );
  return hash.digest('hex');
}
