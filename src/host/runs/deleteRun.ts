import { lstat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import { refuseLinks } from '../../common/withoutLinks';
import { isFolderOwned } from '../../common/folderLock';
import { LoraError } from '../../shared/errors';
import { oneLine } from '../../shared/plainText';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import { confirm } from '../ui/messages';
import { isActive, type RunSummary } from './run';
import type { RunStore } from './runStore';

/**
 * Moves the folders of runs to the trash after a confirmation. Without a trash, asks again before
 * they are deleted permanently.
 *
 * @throws LoraError('run') when one of the runs is active; FileRefused when one is reached through
 *   a link.
 */
export async function deleteRuns(runs: readonly RunSummary[], store: RunStore): Promise<void> {
  for (const run of runs) {
    // a folder that was replaced by a link since the runs were listed
    await refuseLinks(run.dir);
    if (!isActive(run) && !(await isFolderOwned(run.dir))) continue;
    throw new LoraError('run', t('{0} is still training. Stop it before you delete it.', run.name));
  }
  if (!(await confirmDelete(runs))) return;
  const remaining = await moveToTrash(runs);
  if (remaining.length > 0 && (await confirmDeletePermanently(remaining))) {
    for (const { dir } of remaining)
      await vscode.workspace.fs.delete(vscode.Uri.file(dir), { recursive: true, useTrash: false });
  }
  await store.refresh();
}

async function confirmDelete(runs: readonly RunSummary[]): Promise<boolean> {
  const sizes = await Promise.all(runs.map((run) => sizeOf(run.dir)));
  const size = formatBytes(sizes.reduce((sum, bytes) => sum + bytes, 0));
  const question =
    runs.length === 1
      ? t('Delete the run {0}?', runs[0]!.name)
      : t('Delete {0} {0|run|runs}?', runs.length);
  const contents = runs.some((run) => run.adapter !== null)
    ? t('Adapters, checkpoints and history will be deleted, too ({0}).', size)
    : t('Checkpoints and history will be deleted, too ({0}).', size);
  const names = runs.length === 1 ? '' : `\n\n${runs.map((run) => oneLine(run.name)).join('\n')}`;
  return confirm(question, `${contents}${names}`, t('Move to Trash'));
}

const confirmDeletePermanently = (runs: readonly RunSummary[]): Promise<boolean> =>
  confirm(
    runs.length === 1
      ? t('The folder cannot be moved to the trash. Delete it permanently?')
      : t('{0} folders cannot be moved to the trash. Delete them permanently?', runs.length),
    runs.map((run) => oneLine(run.dir)).join('\n'),
    t('Delete Permanently'),
  );

/** Returns the runs that could not be moved to the trash. */
async function moveToTrash(runs: readonly RunSummary[]): Promise<RunSummary[]> {
  const left: RunSummary[] = [];
  for (const run of runs) {
    try {
      await vscode.workspace.fs.delete(vscode.Uri.file(run.dir), {
        recursive: true,
        useTrash: true,
      });
    } catch {
      left.push(run);
    }
  }
  return left;
}

/** Without what links lead to: they alone are deleted. */
async function sizeOf(folder: string): Promise<number> {
  const entries = await listFolder(folder).catch(() => []);
  const sizes = entries.map(async (entry) => {
    const place = path.join(folder, entry.name);
    if (entry.isDirectory()) return sizeOf(place);
    return lstat(place).then(
      (info) => (info.isFile() ? info.size : 0),
      () => 0,
    );
  });
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}
