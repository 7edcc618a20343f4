import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { LineSplitter } from '../../common/lineSplitter';
import { LoraError } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';

/** A line without its line break. */
export interface DatasetLine {
  /** From 1. */
  readonly number: number;
  /** Null: longer than MAX_LINE_BYTES. */
  readonly bytes: Buffer | null;
}

/** Longer lines are not kept in memory: the file is probably not made of lines. */
export const MAX_LINE_BYTES = 64 * 2 ** 20;

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Reads a file in chunks and passes its lines to `onLine` in order (LF or CRLF; a UTF-8 byte order
 * mark is skipped). Returns the file's fingerprint.
 *
 * @throws LoraError('dataset') for a file that is missing, a folder, not readable or in UTF-16.
 */
export async function readLines(
  path: string,
  onLine: (line: DatasetLine) => void,
): Promise<FileFingerprint> {
  await checkFile(path);
  let number = 1;
  const splitter = new LineSplitter((bytes) => onLine({ number: number++, bytes }), MAX_LINE_BYTES);
  const hash = createHash('sha256');
  let size = 0;
  try {
    for await (const chunk of createReadStream(path, {
      highWaterMark: 2 ** 20,
    }) as AsyncIterable<Buffer>) {
      if (size === 0) checkEncoding(chunk, path);
      hash.update(chunk);
      splitter.push(
        size === 0 && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK) ? chunk.subarray(3) : chunk,
      );
      size += chunk.length;
    }
  } catch (error) {
    if (error instanceof LoraError) throw error;
    throw unreadable(path, error);
  }
  splitter.end();
  return { file: path, size, sha256: hash.digest('hex') };
}

async function checkFile(path: string): Promise<void> {
  const info = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (info.isDirectory())
    throw fault(
      path,
      'The dataset is a folder, but must be a .jsonl file.',
      'Name one of the files in it.',
    );
}

function checkEncoding(start: Buffer, path: string): void {
  const mark = start.subarray(0, 2).toString('hex');
  if (mark === 'fffe' || mark === 'feff')
    throw fault(path, 'The file is in UTF-16, but JSON Lines are UTF-8.', 'Save it as UTF-8.');
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
