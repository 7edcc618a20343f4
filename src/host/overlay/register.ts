import type * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { anyRun, chooseRuns, pickRuns } from '../runs/chooseRun';
import type { RunSummary } from '../runs/run';
import type { RunStore } from '../runs/runStore';
import type { Services } from '../services';
import { t } from '../text/l10n';

/** Overlay Runs: the curves of several runs in one chart. */
export function registerOverlay({ commands, overlays, store }: Services): vscode.Disposable {
  return commands.add(COMMANDS.overlayRuns, async (argument, selection) => {
    const dirs = isListOfFolders(argument)
      ? argument
      : (await selectedRuns(store, argument, selection)).map(({ dir }) => dir);
    if (dirs.length > 0) overlays.show({ kind: 'runs', dirs: [...dirs] });
  });
}

const isListOfFolders = (argument: unknown): argument is readonly string[] =>
  Array.isArray(argument) && argument.every((dir) => typeof dir === 'string');

/** The selected runs; when fewer than two are selected, those that the user picks. */
async function selectedRuns(
  store: RunStore,
  argument: unknown,
  selection: readonly unknown[],
): Promise<readonly RunSummary[]> {
  if (selection.length > 1) {
    const selected = await chooseRuns(store, argument, selection, anyRun(''));
    if (selected.length > 1) return selected;
  }
  return pickRuns(store, argument, t('Select the runs to overlay'));
}
