import path from 'node:path';
import * as vscode from 'vscode';
import { pathExists } from '../../common/fileStatus';
import { newRunId, RUNS_FOLDER } from '../../shared/run';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { browse, pickRow } from '../ui/inputs';

/** Reads the log of a training run by another program into the run history of the workspace. */
export async function importRun({
  jobs,
  store,
  dashboards,
}: Pick<Services, 'jobs' | 'store' | 'dashboards'>): Promise<void> {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (!folder) return;
  const rows = [
    {
      icon: 'folder',
      label: t('Folder'),
      description: t('of transformers or TensorBoard'),
      what: 'folder',
    },
    {
      icon: 'file',
      label: t('File'),
      description: t('trainer_state.json, an event file, or the output of mlx-lm'),
      what: 'file',
    },
  ] as const;
  const kind = await pickRow(rows, {
    title: t('Import Run'),
    placeHolder: t('What the other program wrote'),
  });
  const log = kind && (await browse(kind.what, t('Import Run')));
  if (log === undefined) return;
  const withAdapter = await askForAdapter(kind?.what === 'folder' ? log : path.dirname(log));
  if (withAdapter === undefined) return;
  const run = path.join(folder.uri.fsPath, ...RUNS_FOLDER.split('/'), newRunId());
  const adapter = withAdapter ? ['--adapter'] : [];
  await jobs.ask(['import', log, '--run-dir', run, ...adapter]);
  await store.refresh();
  dashboards.show(run);
}

/** Whether the adapter beside a log is copied as well. Undefined: cancelled. */
async function askForAdapter(folder: string): Promise<boolean | undefined> {
  if (!(await pathExists(path.join(folder, 'adapter_model.safetensors')))) return false;
  const rows = [
    { icon: 'copy', label: t('Copy the Adapter, Too'), description: '', isCopied: true },
    { icon: 'graph-line', label: t('Import the Log Alone'), description: '', isCopied: false },
  ];
  const picked = await pickRow(rows, {
    title: t('Import Run'),
    placeHolder: t('The log has an adapter beside it'),
  });
  return picked?.isCopied;
}
