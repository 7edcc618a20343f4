import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openPromise } from 'yauzl';

/**
 * Unpacks entries of a zip file: `target` gives the path for each entry, or null to skip it. Gives
 * the names of the unpacked entries.
 *
 * @param isFlushed Whether each file reaches the disk at once, which takes minutes for thousands.
 *
 * @throws an error of the file system; one of yauzl when the file is not a complete zip file; an
 *   AbortError.
 */
export async function unzip(
  zip: string,
  target: (name: string) => string | null,
  signal: AbortSignal,
  { isFlushed = true }: { readonly isFlushed?: boolean } = {},
): Promise<readonly string[]> {
  const archive = await openPromise(zip); // closed by the end of the loop, also by an error
  const unpacked: string[] = [];
  for await (const entry of archive.eachEntry()) {
    const file = target(entry.fileName);
    if (file === null) continue;
    await mkdir(path.dirname(file), { recursive: true });
    await pipeline(
      await archive.openReadStreamPromise(entry),
      createWriteStream(file, { flush: isFlushed, highWaterMark: 2 ** 20 }),
      { signal },
    );
    unpacked.push(entry.fileName);
  }
  return unpacked;
}
