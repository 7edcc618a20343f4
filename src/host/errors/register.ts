import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';

/** Show Log and Report Issue. */
export function registerErrors(services: Services): vscode.Disposable {
  const { commands, log } = services;
  return vscode.Disposable.from(
    commands.add(COMMANDS.showLog, () => log.show()),
    commands.add(COMMANDS.reportIssue, async () => {
      const { reportIssue } = await import('./reportIssue');
      await reportIssue(services);
    }),
  );
}
