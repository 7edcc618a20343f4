import { stat } from 'node:fs/promises';
import { throwIfCancelled } from '../../common/cancellation';
import { hashFile } from '../../common/hashFile';
import { pathExists } from '../../common/fileStatus';
import { excludedFileOf } from '../../formats/excludedRows';
import { readImageFolder } from '../../data/images/folder';
import { LoraError } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';

/** Whether the fingerprint is complete. */
export const isHashed = ({ sha256 }: FileFingerprint): boolean => sha256 !== '';

/** Fingerprints without hashes. @throws the file system's error */
export async function sizesOf(files: readonly string[]): Promise<FileFingerprint[]> {
  const sizes: FileFingerprint[] = [];
  for (const file of files) sizes.push({ file, size: (await stat(file)).size, sha256: '' });
  return sizes;
}

/**
 * Size and hash of a file. The fingerprint of a folder of images covers its files' names and sizes.
 *
 * @throws the file system's error; an AbortError when `signal` is aborted
 */
export async function fingerprintOf(file: string, signal?: AbortSignal): Promise<FileFingerprint> {
  if ((await stat(file)).isDirectory()) return (await readImageFolder(file)).fingerprint;
  let size = 0;
  const sha256 = await hashFile(file, {
    onBytes: (count) => (size += count),
    ...(signal && { signal }),
  });
  return { file, size, sha256 };
}

/**
 * Compares a run's files with their fingerprints.
 *
 * @throws LoraError('run') with the first file that is missing or has changed,
 *   LoraError('cancelled') when `signal` is aborted
 */
export async function checkFingerprints(
  expected: readonly FileFingerprint[],
  signal?: AbortSignal,
): Promise<void> {
  await refuseNewLists(expected);
  for (const before of expected) {
    const now = await currentOf(before, signal).catch((error: unknown) => {
      throwIfCancelled(signal, 'The run was not resumed.');
      throw new LoraError('run', 'A file that the run was started with is missing.', {
        place: { file: before.file },
        fix: 'Restore it, or start a new run.',
        cause: error,
      });
    });
    if (isHashed(before) ? now.sha256 !== before.sha256 : now.size !== before.size) {
      throw new LoraError(
        'run',
        'The file has changed since the run was started, so the run cannot be resumed.',
        {
          place: { file: before.file },
          fix: 'Restore the old file, or start a new run with init_adapter.',
        },
      );
    }
  }
}

/** Rows must not be left out that the run has learned. */
async function refuseNewLists(expected: readonly FileFingerprint[]): Promise<void> {
  const known = new Set(expected.map(({ file }) => file));
  for (const { file } of expected) {
    const list = excludedFileOf(file);
    if (known.has(list) || !(await pathExists(list))) continue;
    throw new LoraError(
      'run',
      'Rows have been excluded since the run was started, so the run cannot be resumed.',
      {
        place: { file: list },
        fix: 'Move the list away, or start a new run with init_adapter.',
      },
    );
  }
}

async function currentOf(
  before: FileFingerprint,
  signal: AbortSignal | undefined,
): Promise<FileFingerprint> {
  if (isHashed(before)) return fingerprintOf(before.file, signal);
  return (await sizesOf([before.file]))[0]!;
}
