import { stat } from 'node:fs/promises';
import path from 'node:path';
import { throwIfCancelled } from '../../common/cancellation';
import { hashFile } from '../../common/hashFile';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
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

async function currentOf(
  before: FileFingerprint,
  signal: AbortSignal | undefined,
): Promise<FileFingerprint> {
  if (isHashed(before)) return fingerprintOf(before.file, signal);
  return (await sizesOf([before.file]))[0]!;
}

/** The current commit of a folder's repository, read from .git; null without a repository. */
export async function gitCommit(folder: string): Promise<string | null> {
  for (let dir = path.resolve(folder); ; dir = path.dirname(dir)) {
    const head = await gitText(path.join(dir, '.git', 'HEAD'));
    if (head !== null) return resolveHead(path.join(dir, '.git'), head.trim());
    if (dir === path.dirname(dir)) return null;
  }
}

async function resolveHead(git: string, head: string): Promise<string | null> {
  const ref = /^ref: (refs\/[\w./-]+)$/.exec(head)?.[1];
  if (ref === undefined) return isCommit(head) ? head : null;
  const loose = ((await gitText(path.join(git, ref))) ?? '').trim();
  if (isCommit(loose)) return loose;
  const packed = (await gitText(path.join(git, 'packed-refs'))) ?? '';
  return (
    packed
      .split('\n')
      .find((line) => line.endsWith(` ${ref}`))
      ?.split(' ')[0] ?? null
  );
}

const gitText = (file: string): Promise<string | null> =>
  readTextFile(file, { maxBytes: MAX_BYTES.modelJson }).catch(() => null);

const isCommit = (text: string) => /^[0-9a-f]{40,64}$/.test(text);
