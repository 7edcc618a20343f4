import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { LineSplitter } from '../../common/lineSplitter';
import { openRegularFile, otherKindOf as otherThanFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';
import { otherKindOf } from './fileKind';

/** A line without its line break. */
export interface DatasetLine {
  /** From 1. */
  readonly number: number;
  /** Of its first byte in the file. */
  readonly offset: number;
  /** Null: longer than MAX_LINE_BYTES. */
  readonly bytes: Buffer | null;
}

/** Longer lines are not kept in memory: the file is probably not made of lines. */
export const MAX_LINE_BYTES = 64 * 2 ** 20;

/** Bytes between two reports of progress, and two chances to cancel. */
const CHUNK_BYTES = 2 ** 18;
/** Bytes from the start by which other kinds of files are recognized. */
const HEAD_BYTES = 2 ** 16;

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Called between two chunks of a file; what it throws ends the reading. */
export type OnBytes = (done: number, size: number) => void;

/**
 * Refuses files that are no text lines, by their first bytes.
 *
 * @throws LoraError('dataset') also for a file that is missing, a folder, or not readable
 */
export async function checkKind(path: string): Promise<void> {
  await checkFile(path);
  const other = otherKindOf(await headOf(path));
  if (other) throw fault(path, `The file is ${other.name}, not JSON Lines.`, other.fix);
}

/**
 * Reads a file in chunks and passes its lines to `onLine` in order (only LF and CRLF end a line; a
 * UTF-8 byte order mark is skipped). Returns the file's fingerprint.
 *
 * @throws LoraError('dataset') for a file that is missing, a folder, not readable, or that changes
 *   while it is read; what `onBytes` throws.
 */
export async function readLines(
  path: string,
  onLine: (line: DatasetLine) => void,
  onBytes: OnBytes = () => undefined,
): Promise<FileFingerprint> {
  const before = await checkFile(path);
  const { splitter, skip } = lineReader(onLine);
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of chunksOf(path)) {
    hash.update(chunk);
    const marked = size === 0 && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK);
    if (marked) skip(BYTE_ORDER_MARK.length);
    splitter.push(marked ? chunk.subarray(BYTE_ORDER_MARK.length) : chunk);
    size += chunk.length;
    onBytes(size, before.size);
  }
  splitter.end();
  const after = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (size !== before.size || after.size !== size || after.mtimeMs !== before.mtimeMs)
    throw changedWhileRead(path);
  return { file: path, size, sha256: hash.digest('hex') };
}

/** A splitter of numbered lines. `skip`: for bytes that belong to no line. */
function lineReader(onLine: (line: DatasetLine) => void) {
  let number = 1;
  let skipped = 0;
  const splitter = new LineSplitter(
    (bytes, offset) => onLine({ number: number++, offset: offset + skipped, bytes }),
    MAX_LINE_BYTES,
  );
  const skip = (count: number) => {
    skipped += count;
  };
  return { splitter, skip };
}

/** The line that begins at an offset, without its line break; null if it is too long. */
export async function readLineAt(path: string, offset: number): Promise<Buffer | null> {
  const { handle } = await openDataset(path);
  try {
    const lines: DatasetLine[] = [];
    const { splitter } = lineReader((line) => lines.push(line));
    for (let at = offset; lines.length === 0;) {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, at);
      if (bytesRead === 0) splitter.end();
      else splitter.push(buffer.subarray(0, bytesRead));
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return lines[0]?.bytes ?? null;
  } finally {
    await handle.close();
  }
}

/** The error of a dataset that another program writes while it is read. */
export function changedWhileRead(path: string): LoraError {
  return fault(
    path,
    'The file was changed while it was read.',
    'Start again when no program writes to it any more.',
  );
}

async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  const { handle } = await openDataset(path);
  const stream = handle.createReadStream({ highWaterMark: CHUNK_BYTES });
  const chunks = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await chunks.next().catch((error: unknown) => {
        throw unreadable(path, error);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    stream.destroy();
  }
}

async function checkFile(
  path: string,
): Promise<{ readonly size: number; readonly mtimeMs: number }> {
  const info = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (info.isDirectory())
    throw fault(
      path,
      'The dataset is a folder, but must be a .jsonl file.',
      'Name one of the files in it.',
    );
  const kind = otherThanFile(info);
  if (kind !== null)
    throw fault(path, `The dataset is ${kind}, not a file.`, 'Name a .jsonl file.');
  return info;
}

const openDataset = (path: string) =>
  openRegularFile(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });

async function headOf(path: string): Promise<Buffer> {
  const { handle } = await openDataset(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await handle.close();
  }
}

function unreadable(path: string, error: unknown): LoraError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return fault(
      path,
      'The file does not exist.',
      'Check "dataset" and "validation" in the recipe.',
    );
  return fault(
    path,
    `The file cannot be read: ${LoraError.from(error, 'dataset').message}`,
    'Check its permissions.',
    error,
  );
}

function fault(file: string, message: string, fix: string, cause?: unknown): LoraError {
  return new LoraError('dataset', message, { place: { file }, fix, cause });
}
