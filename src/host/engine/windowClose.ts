import * as vscode from 'vscode';
import { SETTINGS } from '../manifest/ids';
import type { EngineLinks } from './engineLinks';
import type { Launcher } from './launcher';

const STARTED_RUNS = 'lora.startedRuns';
const REMEMBERED_RUNS = 50;
/** A reload of the window takes a few seconds and must not stop a run. */
const GRACE_SECONDS = 30;

/**
 * Tells each engine started from this workspace what to do once its last window has closed. Runs
 * started from a terminal are left alone.
 */
export class WindowClose implements vscode.Disposable {
  private readonly disposables: readonly { dispose(): unknown }[];

  constructor(
    private readonly engines: EngineLinks,
    launcher: Launcher,
    private readonly memento: vscode.Memento,
  ) {
    this.disposables = [
      launcher.onDidStart(({ dir, isRemote }) => {
        // a run on a target continues without windows
        if (!isRemote) void this.remember(dir);
      }),
      engines.onOpen((dir) => this.configure(dir)),
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (!change.affectsConfiguration(SETTINGS.onWindowClose)) return;
        for (const dir of engines.dirs) this.configure(dir);
      }),
    ];
  }

  private async remember(dir: string): Promise<void> {
    const others = this.startedRuns.filter((other) => other !== dir);
    await this.memento.update(STARTED_RUNS, [dir, ...others].slice(0, REMEMBERED_RUNS));
    this.configure(dir);
  }

  private get startedRuns(): readonly string[] {
    return this.memento.get<readonly string[]>(STARTED_RUNS, []);
  }

  private configure(dir: string): void {
    if (!this.startedRuns.includes(dir)) return;
    const stop = vscode.workspace.getConfiguration().get<string>(SETTINGS.onWindowClose) === 'stop';
    this.engines
      .client(dir)
      ?.request('stop_when_alone', { seconds: stop ? GRACE_SECONDS : null })
      .catch(() => undefined); // the engine has ended
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }
}
