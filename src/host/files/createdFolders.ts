import { lstat } from 'node:fs/promises';
import * as vscode from 'vscode';

/** What jobs write until it is complete: it gets another name then. */
const UNFINISHED = /\.tmp$/;

/** Watches for folders that are copied or moved here, which may be reported without their files. */
export function onCreatedFolder(listener: (folder: vscode.Uri) => void): vscode.Disposable {
  const watcher = vscode.workspace.createFileSystemWatcher('**/*', false, true, true);
  const look = async (created: vscode.Uri) => {
    if (UNFINISHED.test(created.path)) return;
    const status = await lstat(created.fsPath).catch(() => null);
    if (status?.isDirectory()) listener(created);
  };
  watcher.onDidCreate((created) => void look(created));
  return watcher;
}
