import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';
import { panelHost } from '../webview/panelHost';
import { AdapterComparison } from './compareAdapters';

/** Compare Adapters, and the Explorer's two steps: select one, compare another with it. */
export function registerCompare(services: Services): vscode.Disposable {
  const { commands, context, errors, jobs, log, store } = services;
  const host = panelHost({ extensionUri: context.extensionUri, errors, log }, 'adapter');
  const comparison = new AdapterComparison(jobs, store, host);
  return vscode.Disposable.from(
    comparison,
    commands.add(COMMANDS.compareAdapters, (argument, selection) =>
      comparison.compare(argument, selection),
    ),
    commands.add(COMMANDS.selectForCompare, (argument) => comparison.select(argument)),
    commands.add(COMMANDS.compareWithSelected, (argument) =>
      comparison.compareWithSelected(argument),
    ),
  );
}
