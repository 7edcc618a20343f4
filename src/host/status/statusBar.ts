import * as vscode from 'vscode';
import { COMMANDS } from '../manifest/ids';
import { t } from '../text/l10n';
import type { RunStore } from '../runs/runStore';
import { statusText } from './statusText';

/** One item that shows a running job; it is gone when nothing trains. */
export function createStatusBar(store: RunStore): vscode.Disposable {
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
      // a command that is set anew while it is clicked is lost
      dir = status.dir;
      item.command = {
        command: COMMANDS.openDashboard,
        title: t('Open Dashboard'),
        arguments: [dir],
      };
    }
    item.show();
  });
  return vscode.Disposable.from(item, following);
}
