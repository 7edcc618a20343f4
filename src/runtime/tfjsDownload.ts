import { createWriteStream } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { x as extract } from 'tar';
import { LoraError } from '../shared/errors';
import type { InstallOptions } from './types';

/** tfjs-node's own download, at the address that its installer would use (TFJS_NODE_BASE_URI and TFJS_NODE_CDN_STORAGE move it). */
export function tfjsDownloadUrl(archive: string, env: Readonly<Record<string, string | undefined>>): string {
  const storage = env['TFJS_NODE_CDN_STORAGE'] ?? env['CDN_STORAGE'] ?? 'https://storage.googleapis.com/';
  const prefix = env['TFJS_NODE_BASE_URI'] ?? `${storage}tensorflow/libtensorflow/libtensorflow-`;
  return prefix + archive.replace(/^libtensorflow-/, '');
}

/** Downloads and unpacks the libraries into `folder` under the names that the binding links to. */
export async function downloadTfjsLibraries(url: string, libraries: readonly string[], folder: string, options: InstallOptions): Promise<void> {
  const archive = path.join(folder, 'libtensorflow.tar.gz');
  await download(url, archive, options);
  try {
    await extract({ file: archive, cwd: folder, strict: true, filter: (name) => /^(\.\/)?lib(\/|$)/.test(name) });
  } catch (error) {
    throw new LoraError('runtime', 'The downloaded libtensorflow is not a whole archive.', { cause: error, fix: 'Nothing was installed. Try again.' });
  }
  const found = await readdir(path.join(folder, 'lib')).catch(() => []);
  for (const name of libraries) {
    const source = found.filter((file) => file.startsWith(name.includes('framework') ? 'libtensorflow_framework.' : 'libtensorflow.')).sort((a, b) => b.length - a.length)[0];
    if (!source) throw new LoraError('runtime', `The downloaded archive holds no library for ${name}.`);
    await copyFile(path.join(folder, 'lib', source), path.join(folder, name));
  }
}

async function download(url: string, file: string, { signal, onProgress }: InstallOptions): Promise<void> {
  try {
    const response = await fetch(url, { signal });
    if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`);
    const total = Number(response.headers.get('content-length')) || null;
    let bytes = 0;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        bytes += chunk.length;
        onProgress({ message: 'Downloading libtensorflow', fraction: total === null ? null : bytes / total });
        done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(response.body), count, createWriteStream(file, { flush: true }), { signal });
    if (total !== null && bytes !== total) throw new Error(`the download broke off after ${bytes} of ${total} bytes`);
  } catch (error) {
    if (signal.aborted) throw new LoraError('cancelled', 'The installation was cancelled.');
    throw new LoraError('runtime', `libtensorflow could not be downloaded from ${url}: ${error instanceof Error ? error.message : String(error)}.`, { cause: error });
  }
}
