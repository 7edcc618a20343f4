import { createWriteStream } from 'node:fs';
import { readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { x as extract } from 'tar';
import { LoraError } from '../shared/errors';
import type { Env } from './exec';
import type { InstallOptions } from './runtime';

const VERSIONED = 'tensorflow/libtensorflow/libtensorflow-';

/**
 * The address that tfjs-node's installer downloads from: TFJS_NODE_CDN_STORAGE replaces the host,
 * TFJS_NODE_BASE_URI the base of the versioned archives.
 */
export function tfjsDownloadUrl(archive: string, env: Env): string {
  const base = env['TFJS_NODE_BASE_URI'];
  if (base && archive.startsWith(VERSIONED)) return base + archive.slice(VERSIONED.length);
  return (
    (env['TFJS_NODE_CDN_STORAGE'] || env['CDN_STORAGE'] || 'https://storage.googleapis.com/') +
    archive
  );
}

/**
 * Downloads and unpacks the libraries into `folder`, under the names that the binding links to.
 *
 * @throws LoraError('runtime') when the download fails or the archive is damaged or incomplete.
 */
export async function downloadTfjsLibraries(
  url: string,
  libraries: readonly string[],
  folder: string,
  options: InstallOptions,
): Promise<void> {
  const archive = path.join(folder, 'libtensorflow.tar.gz');
  await download(url, archive, options);
  try {
    // Files only: a link in an archive could point anywhere, and the libraries themselves are
    // files.
    await extract({
      file: archive,
      cwd: folder,
      strict: true,
      filter: (name, entry) =>
        /^(\.\/)?lib\//.test(name) && 'type' in entry && entry.type === 'File',
    });
  } catch (error) {
    throw new LoraError(
      'runtime',
      `The libtensorflow downloaded from ${url} is not a complete archive.`,
      { cause: error },
    );
  }
  const unpacked = await readdir(path.join(folder, 'lib')).catch(() => []);
  for (const name of libraries) {
    const source = unpacked.find((file) => file.startsWith(releaseLibraryPrefix(name)));
    if (source === undefined)
      throw new LoraError(
        'runtime',
        `The archive at ${url} does not contain ${releaseLibraryPrefix(name)}`,
      );
    await rename(path.join(folder, 'lib', source), path.join(folder, name));
  }
}

/**
 * How a library's file name begins in a release of libtensorflow for C, where the wheel's
 * `libtensorflow_cc.` is `libtensorflow.`.
 */
export const releaseLibraryPrefix = (library: string): string =>
  library.includes('framework') ? 'libtensorflow_framework.' : 'libtensorflow.';

async function download(
  url: string,
  file: string,
  { signal, onProgress }: InstallOptions,
): Promise<void> {
  try {
    const response = await fetch(url, { signal });
    if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`);
    const total = Number(response.headers.get('content-length')) || null;
    let bytes = 0;
    const counter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        bytes += chunk.length;
        onProgress({
          message: 'Downloading libtensorflow',
          fraction: total === null ? null : bytes / total,
        });
        done(null, chunk);
      },
    });
    await pipeline(
      Readable.fromWeb(response.body),
      counter,
      createWriteStream(file, { flush: true }),
      { signal },
    );
  } catch (error) {
    throw new LoraError(
      'runtime',
      `libtensorflow could not be downloaded from ${url}: ${messageWithCause(error)}.`,
      { cause: error },
    );
  }
}

/** fetch's message alone is "fetch failed": the network's error is its cause. */
function messageWithCause(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
