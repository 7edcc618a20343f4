import { lstat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { DIFFUSERS_FILE } from '../../formats/peft/fileNames';
import { CONTEXT_KEYS } from '../manifest/ids';

const CONFIG = `**/{adapter_config.json,${DIFFUSERS_FILE}}`;
const MAX_FOLDERS = 2_000;

/** Keeps the context key of the Explorer's menus, the list of adapter folders, up to date. */
export class AdapterFolders implements vscode.Disposable {
  private readonly folders = new Set<string>();
  private readonly disposables: readonly vscode.Disposable[];

  constructor() {
    const configs = vscode.workspace.createFileSystemWatcher(CONFIG, false, true, false);
    const anything = vscode.workspace.createFileSystemWatcher('**/*', false, true, true);
    this.disposables = [
      configs,
      anything,
      configs.onDidCreate((config) => this.update(() => this.folders.add(folderOf(config)))),
      configs.onDidDelete((config) => this.update(() => this.folders.delete(folderOf(config)))),
      anything.onDidCreate((created) => void this.searchFolder(created)),
    ];
    void this.search(CONFIG);
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  /** A folder that is copied or moved here may be reported without the files in it. */
  private async searchFolder(created: vscode.Uri): Promise<void> {
    const status = await lstat(created.fsPath).catch(() => null);
    if (status?.isDirectory()) await this.search(new vscode.RelativePattern(created, CONFIG));
  }

  private async search(pattern: vscode.GlobPattern): Promise<void> {
    const found = await vscode.workspace.findFiles(pattern, '**/node_modules/**', MAX_FOLDERS);
    if (found.length === 0) return;
    this.update(() => {
      for (const config of found) this.folders.add(folderOf(config));
    });
  }

  private update(change: () => void): void {
    change();
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.adapterFolders, [
      ...this.folders,
    ]);
  }
}

const folderOf = (config: vscode.Uri) => path.dirname(config.fsPath);
