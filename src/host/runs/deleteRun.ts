import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../l10n';
import { isActive, type Run } from './run';
import type { RunStore } from './runStore';

/** Moves a run's folder to the trash after asking; where there is no trash it asks again before it deletes for good. */
export async function deleteRun(run: Run, store: RunStore): Promise<void> {
  if (isActive(run)) throw new LoraError('run', t('{0} is still training. Stop it before you delete it.', run.name));
  const toTrash = t('Move to Trash');
  const detail = run.adapter === null ? t('Its checkpoints and its history go with it.') : t('Its adapter, its checkpoints and its history go with it.');
  if ((await vscode.window.showWarningMessage(t('Delete the run {0}?', run.name), { modal: true, detail }, toTrash)) !== toTrash) return;
  const folder = vscode.Uri.file(run.dir);
  try {
    await vscode.workspace.fs.delete(folder, { recursive: true, useTrash: true });
  } catch {
    const forGood = t('Delete Permanently');
    const question = t('The folder cannot be moved to the trash. Delete it permanently?');
    if ((await vscode.window.showWarningMessage(question, { modal: true, detail: run.dir }, forGood)) !== forGood) return;
    await vscode.workspace.fs.delete(folder, { recursive: true, useTrash: false });
  }
  await store.refresh();
}
