import path from 'node:path';
import type * as vscode from 'vscode';
import { isObject } from '../../shared/values';
import { VIEWS } from '../manifest/ids';
import { PanelSet } from '../webview/panelSet';
import { DashboardPanel, type DashboardOptions } from './dashboardPanel';

/** The open dashboards, by the folder of their run. */
export type DashboardPanels = PanelSet<string, DashboardPanel>;

/** The dashboards of this window, one for each run's folder, which may still be empty. */
export const dashboardPanels = (options: DashboardOptions): DashboardPanels =>
  new PanelSet({
    view: VIEWS.dashboard,
    subjectOf: runDirOf,
    keyOf: (runDir) => path.resolve(runDir),
    make: (panel: vscode.WebviewPanel, runDir: string) =>
      new DashboardPanel(panel, path.resolve(runDir), options),
    reuse: (page, runDir) => page.show(path.resolve(runDir)),
  });

function runDirOf(state: unknown): string | undefined {
  const runDir = isObject(state) ? state['runDir'] : undefined;
  if (typeof runDir !== 'string') return undefined;
  return path.isAbsolute(runDir) ? path.resolve(runDir) : undefined;
}
