import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { anyRun, chooseRun } from '../runs/chooseRun';
import type { Services } from '../services';
import { Clicks } from '../ui/clicks';
import { t } from '../text/l10n';

/**
 * Open Dashboard; the preview of a clicked run, which a double click pins; opens the dashboard of
 * each run that the user starts, even while it waits for the runtime.
 */
export function registerDashboard(services: Services): vscode.Disposable {
  const { commands, dashboards, launcher, store } = services;
  const clicks = new Clicks();
  return vscode.Disposable.from(
    commands.add(COMMANDS.openDashboard, async (argument) => {
      const choice = anyRun(t('Select a run to open its dashboard'));
      const run = await chooseRun(store, argument, choice);
      if (run) dashboards.show(run.dir);
    }),
    commands.add(COMMANDS.previewRun, (dir) => {
      if (typeof dir !== 'string') return;
      if (clicks.isDouble(dir, Date.now())) dashboards.show(dir);
      else dashboards.preview(dir);
    }),
    launcher.onDidStart(({ dir, show }) => {
      if (show) dashboards.show(dir);
    }),
    launcher.onDidChangeWait(({ dir, show }) => {
      if (show && launcher.waitOf(dir) === 'answer') dashboards.show(dir);
    }),
    launcher.onDidAbandon((dir) => dashboards.close(dir)),
  );
}
