import path from 'node:path';
import * as vscode from 'vscode';
import { VIEWS } from '../ids';
import { DashboardPanel, titleOf, type DashboardOptions } from './dashboardPanel';

/** The dashboards of this window, one a run. Made at activation: it tells VS Code how to bring panels back after a reload. */
export class DashboardPanels implements vscode.Disposable {
  private readonly panels = new Map<string, DashboardPanel>();
  private readonly serializer: vscode.Disposable;

  constructor(private readonly options: DashboardOptions) {
    this.serializer = vscode.window.registerWebviewPanelSerializer(VIEWS.dashboard, {
      deserializeWebviewPanel: (panel, state) => {
        const runDir = runDirOf(state);
        if (runDir === undefined || this.panels.has(runDir)) panel.dispose();
        else this.adopt(panel, runDir);
        return Promise.resolve();
      },
    });
  }

  /** Opens the dashboard of a run, or brings the open one to the front. The run's folder may still be empty. */
  show(runDir: string, options: { readonly preserveFocus?: boolean } = {}): void {
    const folder = path.resolve(runDir);
    const open = this.panels.get(folder);
    if (open) {
      open.panel.reveal(undefined, options.preserveFocus);
      return;
    }
    const place = { viewColumn: vscode.ViewColumn.Active, preserveFocus: options.preserveFocus ?? false };
    this.adopt(vscode.window.createWebviewPanel(VIEWS.dashboard, titleOf(folder), place), folder);
  }

  dispose(): void {
    this.serializer.dispose();
    for (const panel of this.panels.values()) panel.dispose();
  }

  private adopt(panel: vscode.WebviewPanel, runDir: string): void {
    this.panels.set(runDir, new DashboardPanel(panel, runDir, this.options));
    panel.onDidDispose(() => this.panels.delete(runDir));
  }
}

function runDirOf(state: unknown): string | undefined {
  if (typeof state !== 'object' || state === null || !('runDir' in state) || typeof state.runDir !== 'string') return undefined;
  return path.isAbsolute(state.runDir) ? path.resolve(state.runDir) : undefined;
}
