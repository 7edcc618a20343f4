import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';
import { panelHost } from '../webview/panelHost';
import { runsTablePanels } from './runsTablePanel';

/** Show Table of Runs. */
export function registerRunsTable(services: Services): vscode.Disposable {
  const { commands, context, dashboards, errors, log, store } = services;
  const host = panelHost({ extensionUri: context.extensionUri, errors, log }, 'run');
  const panels = runsTablePanels({ ...host, store, dashboards });
  return vscode.Disposable.from(
    panels,
    commands.add(COMMANDS.showRunsTable, () => panels.show('runs')),
  );
}
