import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createGunzip, type Gunzip } from 'node:zlib';
import { openRegularFile, otherKindOf, readHead } from '../../common/regularFile';
import { tableFault, unpackFault, unreadable } from './faults';
import { CHUNK_BYTES, type Packing, type ReadThrough } from './table';
import { unpackZstd } from './zstd';

/** The bytes of a text, which may be packed. */
export interface ByteSource {
  readonly path: string;
  /** Bytes from an offset of the unpacked text on. A packed file is unpacked from its start. */
  chunks(from: number, options?: ReadThrough): AsyncIterable<Buffer>;
}

/** Text that unpacks to more than this, and to this many times its size, is no text of rows. */
const LEAST_BOMB_BYTES = 2 ** 25;
const MOST_TIMES = 250;

/** The text of a file. */
export function byteSource(file: string, packing: Packing | null): ByteSource {
  return {
    path: file,
    chunks: (from, { onRaw } = {}) => {
      if (packing === null) return plainChunks(file, from, onRaw);
      const packed = plainChunks(file, 0, onRaw);
      return skipping(from, bounded(file, unpacked(file, packing, packed)));
    },
  };
}

type OnRaw = ReadThrough['onRaw'];

async function* plainChunks(file: string, from: number, onRaw: OnRaw): AsyncGenerator<Buffer> {
  const { handle } = await openRegularFile(file).catch((error: unknown) => {
    throw unreadable(file, error);
  });
  const stream = handle.createReadStream({ highWaterMark: CHUNK_BYTES, start: from });
  const chunks = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await chunks.next().catch((error: unknown) => {
        throw unreadable(file, error);
      });
      if (next.done === true) return;
      onRaw?.(next.value);
      yield next.value;
    }
  } finally {
    stream.destroy();
    if (!stream.closed) await once(stream, 'close');
  }
}

function unpacked(
  file: string,
  packing: Packing,
  packed: AsyncIterable<Buffer>,
): AsyncIterable<Buffer> {
  return packing === 'gzip' ? gunzipped(file, packed) : unpackZstd(file, packed);
}

async function* gunzipped(file: string, packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const state: Feeding = { isOver: false, error: undefined };
  const feeding = feed(packed, gunzip, state).catch((error: unknown) => {
    state.error = error;
    gunzip.destroy();
  });
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) yield chunk;
    await feeding;
    if (state.error !== undefined) throw unpackFault(file, 'gzip', state.error);
  } catch (error) {
    throw unpackFault(file, 'gzip', state.error ?? error);
  } finally {
    state.isOver = true;
    gunzip.destroy();
    await feeding;
  }
}

interface Feeding {
  /** Nobody wants more. */
  isOver: boolean;
  error: unknown;
}

/** Passes all bytes on, or past, where there is something after the packed text. */
async function feed(packed: AsyncIterable<Buffer>, gunzip: Gunzip, state: Feeding): Promise<void> {
  for await (const chunk of packed) {
    if (state.isOver) return;
    if (!gunzip.writable || gunzip.write(chunk)) continue;
    await new Promise<void>((resolve) => {
      gunzip.once('drain', resolve);
      gunzip.once('close', resolve);
    });
  }
  if (gunzip.writable) gunzip.end();
}

/** Ends the reading of a file that unpacks to far more than rows do. */
async function* bounded(file: string, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { size } = await stat(file);
  const most = Math.max(LEAST_BOMB_BYTES, MOST_TIMES * size);
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.length;
    if (total > most)
      throw tableFault(
        file,
        `The file unpacks to more than ${MOST_TIMES} times its size, which no rows do.`,
        'If it is right, unpack it and name the unpacked file.',
      );
    yield chunk;
  }
}

async function* skipping(from: number, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let left = from;
  for await (const chunk of chunks) {
    if (left >= chunk.length) {
      left -= chunk.length;
      continue;
    }
    yield left === 0 ? chunk : chunk.subarray(left);
    left = 0;
  }
}

/** Size and time of the last change of a regular file. @throws LoraError('dataset') */
export async function checkTableFile(
  file: string,
): Promise<{ readonly size: number; readonly mtimeMs: number }> {
  const info = await stat(file).catch((error: unknown) => {
    throw unreadable(file, error);
  });
  if (info.isDirectory())
    throw tableFault(
      file,
      'The dataset is a folder, but must be a file with rows.',
      'Name one of the files in it.',
    );
  const kind = otherKindOf(info);
  if (kind !== null)
    throw tableFault(file, `The dataset is ${kind}, not a file.`, 'Name a .jsonl file.');
  return info;
}

/** The first bytes of a file. @throws LoraError('dataset') */
export const headOf = (file: string, bytes: number): Promise<Buffer> =>
  readHead(file, bytes).catch((error: unknown) => {
    throw unreadable(file, error);
  });

/** The first bytes of the unpacked text. @throws LoraError('dataset') */
export async function unpackedHead(source: ByteSource, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of source.chunks(0)) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= bytes) break;
  }
  return Buffer.concat(parts).subarray(0, bytes);
}
