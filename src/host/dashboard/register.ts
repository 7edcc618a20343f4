import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { anyRun, chooseRun } from '../runs/chooseRun';
import type { Services } from '../services';
import { t } from '../text/l10n';

/** Open Dashboard; opens the dashboard of each run that the user starts. */
export function registerDashboard(services: Services): vscode.Disposable {
  const { commands, dashboards, launcher, store } = services;
  return vscode.Disposable.from(
    commands.add(COMMANDS.openDashboard, async (argument) => {
      const choice = anyRun(t('Select a run to open its dashboard'));
      const run = await chooseRun(store, argument, choice);
      if (run) dashboards.show(run.dir);
    }),
    launcher.onDidStart(({ dir, show }) => {
      if (show) dashboards.show(dir);
    }),
  );
}
