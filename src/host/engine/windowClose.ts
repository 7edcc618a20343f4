import * as vscode from 'vscode';
import { SETTINGS } from '../manifest/ids';
import type { EngineLinks } from './engineLinks';

const STARTED = 'lora.startedRuns';
const REMEMBERED = 50;
/** A reload of the window takes a few seconds; it must not stop a run. */
const GRACE_SECONDS = 30;

/**
 * Tells each engine that was started from this workspace what to do when the last window has gone.
 * Runs started from a terminal are left alone.
 */
export class WindowClose implements vscode.Disposable {
  private readonly following: { dispose(): unknown };
  private readonly settings: vscode.Disposable;

  constructor(
    private readonly engines: EngineLinks,
    private readonly memento: vscode.Memento,
  ) {
    this.following = engines.onOpen((dir) => this.tell(dir));
    this.settings = vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration(SETTINGS.onWindowClose))
        engines.dirs.forEach((dir) => this.tell(dir));
    });
  }

  /** A run was started from here. */
  async remember(dir: string): Promise<void> {
    await this.memento.update(
      STARTED,
      [dir, ...this.started.filter((other) => other !== dir)].slice(0, REMEMBERED),
    );
    this.tell(dir);
  }

  private get started(): readonly string[] {
    return this.memento.get<readonly string[]>(STARTED, []);
  }

  private tell(dir: string): void {
    if (!this.started.includes(dir)) return;
    const stop = vscode.workspace.getConfiguration().get<string>(SETTINGS.onWindowClose) === 'stop';
    this.engines
      .client(dir)
      ?.request('stop_when_alone', { seconds: stop ? GRACE_SECONDS : null })
      .catch(() => undefined); // an engine that has gone needs no telling
  }

  dispose(): void {
    this.following.dispose();
    this.settings.dispose();
  }
}
