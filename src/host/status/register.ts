import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import type { Services } from '../services';
import { statusText } from './statusText';

/** A status bar item that shows the newest active run; hidden while nothing trains. */
export function registerStatusBar({ store }: Services): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('lora.run', vscode.StatusBarAlignment.Left, 10);
  item.name = t('LoRA training');
  let dir: string | undefined;
  const following = store.onDidChange(() => {
    const status = statusText(store.runs);
    if (!status) {
      item.hide();
      return;
    }
    item.text = status.text;
    item.tooltip = status.tooltip;
    if (dir !== status.dir) {
      // setting the command while the user clicks would lose the click
      dir = status.dir;
      item.command = {
        command: COMMANDS.openDashboard.id,
        title: t('Open Dashboard'),
        arguments: [dir],
      };
    }
    item.show();
  });
  return vscode.Disposable.from(item, following);
}
