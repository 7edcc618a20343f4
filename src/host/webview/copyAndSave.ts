import * as vscode from 'vscode';
import type { SavePicture } from '../../shared/pages/dashboard/protocol';
import { fileName } from '../text/fileName';
import { t } from '../text/l10n';
import { askWhereToSave } from '../ui/inputs';
import { copyToClipboard, showDone } from '../ui/messages';

/** Asks where to save a chart, and saves it as PNG. `folder`: the suggested folder. */
export async function savePicture({ name, url }: SavePicture, folder: string): Promise<void> {
  const target = await askWhereToSave(folder, `${fileName(name)}.png`, { PNG: ['png'] });
  if (target)
    await vscode.workspace.fs.writeFile(
      target,
      Buffer.from(url.slice(url.indexOf(',') + 1), 'base64'),
    );
}

/** Copies a text to the clipboard and confirms it in the status bar. */
export async function copyText(text: string): Promise<void> {
  await copyToClipboard(text);
  showDone(t('Copied'));
}
