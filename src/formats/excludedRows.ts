import { createHash } from 'node:crypto';
import { writeJson } from '../common/atomicWrite';
import { pathExists } from '../common/fileStatus';
import { readRegularFile } from '../common/regularFile';
import { LoraError } from '../shared/errors';
import { contentKey } from '../shared/exactValues';
import type { FileFingerprint } from '../shared/run';
import { isObject } from '../shared/values';

/** The list of the rows of a dataset that are left out, beside it. */
export const excludedFileOf = (dataset: string): string => `${dataset}.excluded.json`;

/** Hashes of the rows: the first 16 bytes of a SHA-256, with the copy among equal rows. */
const ENTRY = /^[0-9a-f]{32}(?::[1-9]\d{0,8})?$/;
const FORMAT = 1;
/** A million rows and more. */
const MAX_FILE_BYTES = 2 ** 26;
const HASH_BYTES = 16;

/**
 * The identity of a row: its text without white space around it, or its columns. A row of JSON
 * that is written in another way is another row.
 */
export function rowHash(content: Buffer | object): string {
  const bytes = Buffer.isBuffer(content) ? trimmed(content) : contentKey(content);
  return createHash('sha256').update(bytes).digest().toString('hex', 0, HASH_BYTES);
}

function trimmed(bytes: Buffer): Buffer {
  let [start, end] = [0, bytes.length];
  while (start < end && isSpace(bytes[start]!)) start++;
  while (end > start && isSpace(bytes[end - 1]!)) end--;
  return bytes.subarray(start, end);
}

const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);

/** The n-th of equal rows, from 1, as it is written in the list. */
export const excludedEntry = (hash: string, copy: number): string =>
  copy === 1 ? hash : `${hash}:${copy}`;

/** The rows of a dataset that are left out. */
export interface ExcludedList {
  readonly entries: ReadonlySet<string>;
  /** Of the list. */
  readonly fingerprint: FileFingerprint;
}

/**
 * The list of a dataset; null where it has none.
 *
 * @throws LoraError('dataset') when the list cannot be read: rows would be learned that must not be
 */
export async function readExcluded(dataset: string): Promise<ExcludedList | null> {
  const file = excludedFileOf(dataset);
  if (!(await pathExists(file))) return null;
  const text = await readRegularFile(file, { maxBytes: MAX_FILE_BYTES }).catch((cause: unknown) => {
    throw fault(file, 'The list of excluded rows cannot be read.', cause);
  });
  const entries = rowsIn(text);
  if (entries === null) throw fault(file, 'The list of excluded rows is not valid.');
  const sha256 = createHash('sha256').update(text).digest('hex');
  return { entries, fingerprint: { file, size: text.length, sha256 } };
}

function rowsIn(text: Buffer): ReadonlySet<string> | null {
  try {
    const value: unknown = JSON.parse(text.toString('utf8'));
    if (!isObject(value) || value['version'] !== FORMAT) return null;
    const rows: unknown = value['rows'];
    const isList = Array.isArray(rows) && rows.every((row) => typeof row === 'string');
    return isList && rows.every((row) => ENTRY.test(row)) ? new Set(rows) : null;
  } catch {
    return null;
  }
}

const fault = (file: string, message: string, cause?: unknown): LoraError =>
  new LoraError('dataset', message, {
    place: { file },
    fix: 'Correct the file, or delete it to use all rows.',
    cause,
  });

/** Writes the list of a dataset. @throws LoraError('disk') */
export const writeExcluded = (dataset: string, rows: ReadonlySet<string>): Promise<void> =>
  writeJson(excludedFileOf(dataset), { version: FORMAT, rows: [...rows].sort() });

/** Tells which rows of a dataset are excluded while it is read from its start. */
export class ExcludedRows {
  /** Rows that were excluded so far. */
  count = 0;
  private readonly hashes: ReadonlySet<string>;
  private readonly copies = new Map<string, number>();

  constructor(private readonly entries: ReadonlySet<string>) {
    this.hashes = new Set([...entries].map((entry) => entry.slice(0, 2 * HASH_BYTES)));
  }

  /** Whether any row can be excluded; if not, rows need not be hashed. */
  get hasAny(): boolean {
    return this.entries.size > 0;
  }

  /** Must be asked once for each row, in order. */
  isExcluded(content: Buffer | object): boolean {
    const hash = rowHash(content);
    if (!this.hashes.has(hash)) return false;
    const copy = (this.copies.get(hash) ?? 0) + 1;
    this.copies.set(hash, copy);
    const isExcluded = this.entries.has(excludedEntry(hash, copy));
    if (isExcluded) this.count++;
    return isExcluded;
  }
}
