import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import yauzl, { type Entry, type ZipFile } from 'yauzl';
import { LoraError } from '../shared/errors';

/** Unpacks chosen entries of a zip file: `target` gives each entry's file, or null to leave it. Gives the names of those that were unpacked. */
export async function unzip(zip: string, target: (name: string) => string | null, signal?: AbortSignal): Promise<string[]> {
  const archive = await open(zip);
  const unpacked: string[] = [];
  try {
    for await (const entry of entriesOf(archive)) {
      const file = target(entry.fileName);
      if (file === null || entry.fileName.endsWith('/')) continue;
      await mkdir(path.dirname(file), { recursive: true });
      const stream = await promisify(archive.openReadStream.bind(archive) as (e: Entry, done: (error: Error | null, s: NodeJS.ReadableStream) => void) => void)(entry);
      await pipeline(stream, createWriteStream(file, { flush: true, highWaterMark: 2 ** 20 }), ...(signal ? [{ signal }] : []));
      unpacked.push(entry.fileName);
    }
  } finally {
    archive.close();
  }
  return unpacked;
}

const open = (file: string) => new Promise<ZipFile>((resolve, reject) =>
  yauzl.open(file, { lazyEntries: true, autoClose: false }, (error, archive) => {
    if (error) reject(new LoraError('runtime', `${path.basename(file)} is not a whole zip file.`, { place: { file }, cause: error }));
    else resolve(archive);
  }));

async function* entriesOf(archive: ZipFile): AsyncGenerator<Entry> {
  for (;;) {
    const entry = await nextEntry(archive);
    if (!entry) return;
    yield entry;
  }
}

function nextEntry(archive: ZipFile): Promise<Entry | null> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      archive.removeAllListeners('entry').removeAllListeners('end').removeAllListeners('error');
      done();
    };
    archive.once('entry', (entry: Entry) => settle(() => resolve(entry)));
    archive.once('end', () => settle(() => resolve(null)));
    archive.once('error', (error: Error) => settle(() => reject(error)));
    archive.readEntry();
  });
}
