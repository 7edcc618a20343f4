import path from 'node:path';
import * as vscode from 'vscode';
import { readHead } from '../../common/regularFile';
import { DIFFUSERS_FILE } from '../../formats/peft/fileNames';
import { onCreatedFolder } from '../files/createdFolders';
import { CONTEXT_KEYS } from '../manifest/ids';

const CONFIG = `**/{adapter_config.json,${DIFFUSERS_FILE}}`;
const WEIGHTS = '**/*.{gguf,safetensors}';
const MAX_FOLDERS = 2_000;
/** The keys or the first tensors of an adapter's file are in there. */
const HEAD_BYTES = 2 ** 16;

/**
 * Keeps the context key of the Explorer's menus up to date: the folders with an adapter, and the
 * files that are one.
 */
export class AdapterFolders implements vscode.Disposable {
  private readonly folders = new Set<string>();
  private readonly disposables: readonly vscode.Disposable[];

  constructor() {
    const configs = vscode.workspace.createFileSystemWatcher(CONFIG, false, true, false);
    const weights = vscode.workspace.createFileSystemWatcher(WEIGHTS, false, true, false);
    this.disposables = [
      configs,
      weights,
      weights.onDidCreate((file) => void this.addFiles([file])),
      weights.onDidDelete(({ fsPath }) => this.update(() => this.folders.delete(fsPath))),
      vscode.workspace.onDidGrantWorkspaceTrust(() => void this.searchFiles(WEIGHTS)),
      configs.onDidCreate((config) => this.update(() => this.folders.add(folderOf(config)))),
      configs.onDidDelete((config) => this.update(() => this.folders.delete(folderOf(config)))),
      onCreatedFolder((created) => void this.search(new vscode.RelativePattern(created, CONFIG))),
    ];
    void this.search(CONFIG);
    void this.searchFiles(WEIGHTS);
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private async searchFiles(pattern: vscode.GlobPattern): Promise<void> {
    await this.addFiles(
      await vscode.workspace.findFiles(pattern, '**/{node_modules,.lora}/**', MAX_FOLDERS),
    );
  }

  /** Untrusted files are not read before trust. */
  private async addFiles(files: readonly vscode.Uri[]): Promise<void> {
    if (!vscode.workspace.isTrusted) return;
    const found: string[] = [];
    for (const { fsPath } of files) if (await isAdapterFile(fsPath)) found.push(fsPath);
    if (found.length > 0) this.update(() => found.forEach((file) => this.folders.add(file)));
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

/** Whether a file of tensors is an adapter, by the names in its head, rather than a model. */
async function isAdapterFile(file: string): Promise<boolean> {
  const head = await readHead(file, HEAD_BYTES).catch(() => null);
  return head !== null && isAdapterHead(head.toString('latin1'));
}

/** Keys of llama.cpp, and tensors of PEFT, mlx-lm and kohya's scripts. */
export const isAdapterHead = (head: string): boolean =>
  /adapter\.type|lora_[abAB]\b|lora_(?:down|up)\b|lora_embedding|hada_w1|lokr_w/.test(head);
