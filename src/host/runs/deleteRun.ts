import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';
import { isActive, type RunSummary } from './run';
import type { RunStore } from './runStore';

/**
 * Moves the folders of runs to the trash after asking; where there is no trash it asks again before
 * it deletes for good.
 */
export async function deleteRuns(runs: readonly RunSummary[], store: RunStore): Promise<void> {
  const active = runs.find(isActive);
  if (active)
    throw new LoraError(
      'run',
      t('{0} is still training. Stop it before you delete it.', active.name),
    );
  const toTrash = t('Move to Trash');
  const sizes = await Promise.all(runs.map((run) => sizeOf(run.dir)));
  const size = formatBytes(sizes.reduce((sum, bytes) => sum + bytes, 0));
  const question =
    runs.length === 1
      ? t('Delete the run {0}?', runs[0]!.name)
      : t('Delete {0} runs?', runs.length);
  const contents = runs.some((run) => run.adapter !== null)
    ? t('Adapters, checkpoints and history will be deleted, too ({0}).', size)
    : t('Checkpoints and history will be deleted, too ({0}).', size);
  const names = runs.length === 1 ? '' : `\n\n${runs.map((run) => run.name).join('\n')}`;
  if (
    (await vscode.window.showWarningMessage(
      question,
      { modal: true, detail: `${contents}${names}` },
      toTrash,
    )) !== toTrash
  )
    return;
  const left = await moveToTrash(runs);
  if (left.length > 0) {
    const forGood = t('Delete Permanently');
    const again =
      left.length === 1
        ? t('The folder cannot be moved to the trash. Delete it permanently?')
        : t('{0} folders cannot be moved to the trash. Delete them permanently?', left.length);
    if (
      (await vscode.window.showWarningMessage(
        again,
        { modal: true, detail: left.map((run) => run.dir).join('\n') },
        forGood,
      )) === forGood
    ) {
      for (const run of left)
        await vscode.workspace.fs.delete(vscode.Uri.file(run.dir), {
          recursive: true,
          useTrash: false,
        });
    }
  }
  await store.refresh();
}

/** Gives those that there is no trash for. */
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

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) =>
        stat(path.join(entry.parentPath, entry.name)).then(
          (info) => info.size,
          () => 0,
        ),
      ),
  );
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
