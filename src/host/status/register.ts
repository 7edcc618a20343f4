import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import type { Services } from '../services';
import { StatusItem } from '../ui/statusItem';
import { statusText } from './statusText';

/** A status bar item that shows the newest active run; hidden while nothing trains. */
export function registerStatusBar({ store }: Services): vscode.Disposable {
  const item = new StatusItem('lora.run', t('LoRA training'), {
    alignment: vscode.StatusBarAlignment.Left,
    priority: 10,
  });
  let dir: string | undefined;
  const following = store.onDidChange(() => {
    const status = statusText(store.runs, Date.now());
    if (!status) {
      item.hide();
      return;
    }
    if (dir !== status.dir) {
      // setting the command while the user clicks would lose the click
      dir = status.dir;
      item.onClick({
        command: COMMANDS.openDashboard.id,
        title: t('Open Dashboard'),
        arguments: [dir],
      });
    }
    item.show(status);
  });
  return vscode.Disposable.from(item, following);
}
