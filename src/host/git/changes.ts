import path from 'node:path';
import { replaceFile } from '../../common/atomicWrite';
import { pathExists } from '../../common/fileStatus';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { RUN_FILES } from '../../shared/run';

/** The diff of the files that were not committed when a run started, in the run's folder. */
export const changesFile = (runDir: string): string => path.join(runDir, RUN_FILES.changes);

/**
 * Keeps what was not committed when a run started, as `diffOf` gives it for a folder. Nothing is
 * kept of a run that has such a file already, because it was resumed.
 *
 * @throws LoraError('disk'); the error of git
 */
export async function keepChanges(
  runDir: string,
  diffOf: (folder: string) => Promise<string>,
): Promise<void> {
  const file = changesFile(runDir);
  if (await pathExists(file)) return;
  const diff = await diffOf(runDir);
  if (diff === '' || Buffer.byteLength(diff) > MAX_BYTES.writtenByPeople) return;
  await replaceFile(file, diff);
}

/** How many files were not committed when a run started; null where that is not known. */
export async function changedFiles(runDir: string): Promise<number | null> {
  const limits = { maxBytes: MAX_BYTES.writtenByPeople, links: 'refused' } as const;
  const diff = await readTextFile(changesFile(runDir), limits).catch(() => null);
  return diff === null ? null : filesIn(diff);
}

/** The files of a diff, each once. */
export function filesIn(diff: string): number {
  return new Set(diff.match(/^diff --git .*$/gm) ?? []).size;
}
