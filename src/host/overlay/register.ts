import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { anyRun, chooseRuns, pickRuns } from '../runs/chooseRun';
import type { RunSummary } from '../runs/run';
import { GroupNode } from '../runs/runNodes';
import type { RunStore } from '../runs/runStore';
import type { Services } from '../services';
import { t } from '../text/l10n';

/** Overlay Runs: the curves of several runs in one chart; and the same of a sweep's. */
export function registerOverlay({ commands, overlays, store }: Services): vscode.Disposable {
  const openSweep = commands.add(COMMANDS.openSweep, (argument) => {
    const folder = argument instanceof GroupNode ? argument.group.sweep : argument;
    if (typeof folder === 'string') overlays.show({ kind: 'sweep', folder });
  });
  const overlay = commands.add(COMMANDS.overlayRuns, async (argument, selection) => {
    const dirs = isListOfFolders(argument)
      ? argument
      : (await selectedRuns(store, argument, selection)).map(({ dir }) => dir);
    if (dirs.length > 0) overlays.show({ kind: 'runs', dirs: [...dirs] });
  });
  return vscode.Disposable.from(openSweep, overlay);
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
