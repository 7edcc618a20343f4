import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openPromise } from 'yauzl';

/**
 * Unpacks chosen entries of a zip file: `target` gives each entry's file, or null to leave it.
 * Gives the names of those that were unpacked. Errors: the file system's; yauzl's where the file is
 * not a whole zip file; an AbortError.
 */
export async function unzip(
  zip: string,
  target: (name: string) => string | null,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const archive = await openPromise(zip); // closed when the loop ends, however it ends
  const unpacked: string[] = [];
  for await (const entry of archive.eachEntry()) {
    const file = target(entry.fileName);
    if (file === null) continue;
    await mkdir(path.dirname(file), { recursive: true });
    await pipeline(
      await archive.openReadStreamPromise(entry),
      createWriteStream(file, { flush: true, highWaterMark: 2 ** 20 }),
      { signal },
    );
    unpacked.push(entry.fileName);
  }
  return unpacked;
}
