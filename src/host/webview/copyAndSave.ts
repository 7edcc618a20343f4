import path from 'node:path';
import * as vscode from 'vscode';
import type { SavePicture } from '../../shared/pages/dashboard/protocol';
import { t } from '../text/l10n';

/** Asks where to save a chart, and saves it as PNG. `folder`: the suggested folder. */
export async function savePicture({ name, url }: SavePicture, folder: string): Promise<void> {
  const target = await vscode.window.showSaveDialog({
    defaultUri: vscode.Uri.file(path.join(folder, `${fileName(name)}.png`)),
    filters: { PNG: ['png'] },
  });
  if (target)
    await vscode.workspace.fs.writeFile(
      target,
      Buffer.from(url.slice(url.indexOf(',') + 1), 'base64'),
    );
}

/** Copies a text to the clipboard and confirms it in the status bar. */
export async function copyText(text: string): Promise<void> {
  await vscode.env.clipboard.writeText(text);
  vscode.window.setStatusBarMessage(t('Copied'), 3_000);
}

/** A title as a valid file name. */
export const fileName = (title: string): string => title.replace(/[^\p{L}\p{N}._-]+/gu, '-');
