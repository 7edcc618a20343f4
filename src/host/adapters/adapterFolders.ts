import path from 'node:path';
import * as vscode from 'vscode';
import { CONTEXT_KEYS } from '../manifest/ids';

const CONFIG = '**/adapter_config.json';
/** More than anybody's explorer shows. */
const MOST = 2_000;

/** Tells the explorer's menu which folders are adapters, as they come and go. */
export class AdapterFolders implements vscode.Disposable {
  private readonly folders = new Set<string>();
  private readonly watcher = vscode.workspace.createFileSystemWatcher(CONFIG, false, true, false);
  private readonly listeners: readonly vscode.Disposable[];

  constructor() {
    this.listeners = [
      this.watcher,
      this.watcher.onDidCreate((config) => this.change(() => this.folders.add(folderOf(config)))),
      this.watcher.onDidDelete((config) =>
        this.change(() => this.folders.delete(folderOf(config))),
      ),
    ];
    void vscode.workspace.findFiles(CONFIG, '**/node_modules/**', MOST).then((found) =>
      this.change(() => {
        for (const config of found) this.folders.add(folderOf(config));
      }),
    );
  }

  dispose(): void {
    for (const listener of this.listeners) listener.dispose();
  }

  private change(make: () => void): void {
    make();
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.adapterFolders, [
      ...this.folders,
    ]);
  }
}

const folderOf = (config: vscode.Uri) => path.dirname(config.fsPath);
