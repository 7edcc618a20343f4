import path from 'node:path';
import * as vscode from 'vscode';
import { CONTEXT_KEYS } from '../manifest/ids';

const CONFIG = '**/adapter_config.json';
const MAX_FOLDERS = 2_000;

/** Keeps the context key of the Explorer's menus, the list of adapter folders, up to date. */
export class AdapterFolders implements vscode.Disposable {
  private readonly folders = new Set<string>();
  private readonly watcher = vscode.workspace.createFileSystemWatcher(CONFIG, false, true, false);
  private readonly listeners: readonly vscode.Disposable[];

  constructor() {
    this.listeners = [
      this.watcher,
      this.watcher.onDidCreate((config) => this.update(() => this.folders.add(folderOf(config)))),
      this.watcher.onDidDelete((config) =>
        this.update(() => this.folders.delete(folderOf(config))),
      ),
    ];
    void vscode.workspace.findFiles(CONFIG, '**/node_modules/**', MAX_FOLDERS).then((found) =>
      this.update(() => {
        for (const config of found) this.folders.add(folderOf(config));
      }),
    );
  }

  dispose(): void {
    for (const listener of this.listeners) listener.dispose();
  }

  private update(change: () => void): void {
    change();
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.adapterFolders, [
      ...this.folders,
    ]);
  }
}

const folderOf = (config: vscode.Uri) => path.dirname(config.fsPath);
