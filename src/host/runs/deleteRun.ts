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
import { isUnattended } from '../targets/reattach';
import type { TargetJobs } from '../targets/targetJobs';
import { targetOfRun } from '../targets/targetOfRun';
import type { TargetStore } from '../targets/targetStore';
import { choose, confirm } from '../ui/messages';
import { isActive, type RunSummary } from './run';
import type { RunStore } from './runStore';

interface DeleteServices {
  readonly store: RunStore;
  readonly targets: TargetStore;
  readonly targetJobs: Pick<TargetJobs, 'remove'>;
}

/**
 * Moves the folders of runs to the trash after a confirmation, and removes what they have on
 * targets where the user wants that. Without a trash, asks again before they are deleted
 * permanently.
 *
 * @throws LoraError('run') when one of the runs is active here, or connected to its target;
 *   LoraError when a target cannot be reached, before anything is deleted here; FileRefused when
 *   one is reached through a link.
 */
export async function deleteRuns(
  runs: readonly RunSummary[],
  { store, targets, targetJobs }: DeleteServices,
): Promise<void> {
  for (const run of runs) {
    // a folder that was replaced by a link since the runs were listed
    await refuseLinks(run.dir);
    if ((!isActive(run) || isUnattended(run)) && !(await isFolderOwned(run.dir))) continue;
    throw new LoraError('run', t('{0} is still training. Stop it before you delete it.', run.name));
  }
  const answer = await confirmDelete(runs);
  if (answer === 'no') return;
  if (answer === 'everywhere')
    for (const run of runs.filter(isThere))
      if ((await targetOfRun(targets, run)) !== undefined) await targetJobs.remove(run.dir);
      else return;
  const remaining = await moveToTrash(runs);
  if (remaining.length > 0 && (await confirmDeletePermanently(remaining))) {
    for (const { dir } of remaining)
      await vscode.workspace.fs.delete(vscode.Uri.file(dir), { recursive: true, useTrash: false });
  }
  await store.refresh();
}

/** Whether a target has files of the run. */
const isThere = ({ remote }: RunSummary): boolean =>
  remote !== null && remote.record.handle !== null;

async function confirmDelete(runs: readonly RunSummary[]): Promise<'no' | 'here' | 'everywhere'> {
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
  const detail = [contents, ...runs.filter(isThere).map(thereText)].join('\n') + names;
  if (!runs.some(isThere))
    return (await confirm(question, detail, t('Move to Trash'))) ? 'here' : 'no';
  const actions = { everywhere: t('Delete There, Too'), here: t('Delete Only Here') };
  return (await choose(question, detail, actions)) ?? 'no';
}

function thereText(run: RunSummary): string {
  const { name } = run.remote!.record.target;
  return isActive(run)
    ? t(
        '{0} is still running on {1}. “Delete There, Too” ends it, and its progress is lost.',
        run.name,
        name,
      )
    : t('Its files on {0} can be deleted, too.', name);
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
