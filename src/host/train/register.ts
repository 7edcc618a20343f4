import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';

/** Train Adapter: the questions, a recipe of the answers, and a run of it. */
export function registerTrain(services: Services): vscode.Disposable {
  const { commands, recipes } = services;
  return commands.add(COMMANDS.trainAdapter, async () => {
    const { trainAdapter } = await import('./trainAdapter');
    const trained = await trainAdapter(services);
    if (trained?.start) await recipes.run(vscode.Uri.file(trained.file));
  });
}
