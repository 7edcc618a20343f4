import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import { onCreatedFolder } from '../files/createdFolders';
import { CONTEXT_KEYS } from '../manifest/ids';
import { fileNames, modelWeights } from './baseFolder';

const CONFIG = '**/config.json';
const WEIGHTS = '**/*.safetensors';
const MAX_FOLDERS = 2_000;
/** A folder of a model has a few dozen files. */
const MAX_ENTRIES = 10_000;

/**
 * Keeps the context key of the Explorer's menus up to date: the folders with a Hugging Face model.
 * Only names of files are looked at.
 */
export class ModelFolders implements vscode.Disposable {
  private readonly folders = new Set<string>();
  private readonly watchers: readonly vscode.Disposable[];

  constructor() {
    const files = [CONFIG, WEIGHTS].map((pattern) => {
      const watcher = vscode.workspace.createFileSystemWatcher(pattern, false, true, false);
      watcher.onDidCreate((file) => void this.check([file]));
      watcher.onDidDelete((file) => void this.check([file]));
      return watcher;
    });
    const search = (folder: vscode.Uri) =>
      void this.search(new vscode.RelativePattern(folder, CONFIG));
    this.watchers = [...files, onCreatedFolder(search)];
    void this.search(CONFIG);
  }

  dispose(): void {
    for (const watcher of this.watchers) watcher.dispose();
  }

  private async search(pattern: vscode.GlobPattern): Promise<void> {
    await this.check(
      await vscode.workspace.findFiles(pattern, '**/{node_modules,.lora}/**', MAX_FOLDERS),
    );
  }

  /** Looks at the folders of files once more. */
  private async check(files: readonly vscode.Uri[]): Promise<void> {
    const before = this.folders.size;
    let changed = false;
    for (const folder of new Set(files.map(({ fsPath }) => path.dirname(fsPath)))) {
      const isModel = modelWeights(await namesIn(folder)).length > 0;
      if (isModel) this.folders.add(folder);
      else changed = this.folders.delete(folder) || changed;
    }
    if (!changed && this.folders.size === before) return;
    await vscode.commands.executeCommand('setContext', CONTEXT_KEYS.modelFolders, [
      ...this.folders,
    ]);
  }
}

const namesIn = async (folder: string): Promise<string[]> =>
  fileNames(await listFolder(folder, MAX_ENTRIES).catch(() => []));
