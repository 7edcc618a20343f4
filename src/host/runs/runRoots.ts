import path from 'node:path';
import * as vscode from 'vscode';
import { RUN_FILES, RUNS_FOLDER } from '../../shared/run';
import { Signal } from '../../common/signal';

const REMEMBERED = 'lora.runRoots';

/**
 * The folders that contain runs: `.lora/runs` of each workspace folder, those beside recipes in
 * subfolders, and those in which runs were started.
 */
export class RunRoots implements vscode.Disposable {
  private readonly changed = new Signal();
  private readonly folders: vscode.Disposable;
  private searched: readonly string[] | undefined;

  /** Fires when `list` can return other folders. */
  readonly onDidChange = this.changed.event;

  constructor(private readonly memento: vscode.Memento) {
    this.folders = vscode.workspace.onDidChangeWorkspaceFolders(() => {
      this.searched = undefined;
      this.changed.fire();
    });
  }

  /** The folders known now. The first call starts a search of the workspace. */
  list(): readonly string[] {
    if (!this.searched) {
      this.searched = [];
      void this.search();
    }
    const top = (vscode.workspace.workspaceFolders ?? []).map((folder) =>
      path.join(folder.uri.fsPath, ...RUNS_FOLDER.split('/')),
    );
    return [...new Set([...top, ...this.remembered, ...this.searched])];
  }

  /** Adds a folder, for this and later sessions. */
  async remember(root: string): Promise<void> {
    if (!this.remembered.includes(root))
      await this.memento.update(REMEMBERED, [...this.remembered, root]);
  }

  private get remembered(): readonly string[] {
    return this.memento.get<readonly string[]>(REMEMBERED, []);
  }

  private async search(): Promise<void> {
    const records = await vscode.workspace.findFiles(
      `**/${RUNS_FOLDER}/*/${RUN_FILES.record}`,
      '**/node_modules/**',
    );
    this.searched = [
      ...new Set(records.map((record) => path.dirname(path.dirname(record.fsPath)))),
    ];
    if (this.searched.length > 0) this.changed.fire();
  }

  dispose(): void {
    this.folders.dispose();
    this.changed.dispose();
  }
}
