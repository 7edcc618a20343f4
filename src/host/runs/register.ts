import * as vscode from 'vscode';
import type { Services } from '../services';
import { keepChanges } from '../git/changes';
import { uncommittedChanges } from '../git/gitExtension';
import { registerNoteCommands } from './noteCommands';
import { Outcomes } from './outcomes';
import { RecordedRecipes } from './recordedRecipes';
import { registerRunCommands } from './runCommands';
import { registerViewCommands } from './viewCommands';

/** The Runs view's commands, and the notifications of how runs ended. */
export function registerRuns(services: Services): vscode.Disposable {
  const { launcher, log, roots, store } = services;
  const recordedRecipes = new RecordedRecipes(store);
  return vscode.Disposable.from(
    recordedRecipes,
    new Outcomes(services),
    registerRunCommands(services, recordedRecipes),
    registerNoteCommands(services),
    registerViewCommands(services, recordedRecipes),
    launcher.onDidStart(({ dir }) => {
      keepChanges(dir, uncommittedChanges).catch((error: unknown) =>
        log.warn(`Uncommitted changes: ${String(error)}`),
      );
    }),
    roots.onDidChange(() => void store.refresh()),
    store.engines.onTrouble((message) => log.warn(message)),
  );
}
