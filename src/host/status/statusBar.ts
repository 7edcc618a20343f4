import * as vscode from 'vscode';
import { COMMANDS } from '../ids';
import { t } from '../l10n';
import type { RunStore } from '../runs/runStore';
import { statusText } from './statusText';

/** One item that shows a running job; it is gone when nothing trains. */
export function createStatusBar(store: RunStore): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('lora.run', vscode.StatusBarAlignment.Left, 10);
  item.name = t('LoRA training');
  const following = store.onDidChange(() => {
    const status = statusText(store.runs);
    if (!status) {
      item.hide();
      return;
    }
    item.text = status.text;
    item.tooltip = status.tooltip;
    item.command = { command: COMMANDS.openDashboard, title: t('Open Dashboard'), arguments: [status.dir] };
    item.show();
  });
  return vscode.Disposable.from(item, following);
}
