import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { startOrQueue } from '../queue/startOrQueue';
import type { Services } from '../services';

/** Train Adapter: the questions, a recipe of the answers, and a run of it. */
export function registerTrain(services: Services): vscode.Disposable {
  return services.commands.add(COMMANDS.trainAdapter, async () => {
    const { trainAdapter } = await import('./trainAdapter');
    const trained = await trainAdapter(services);
    if (trained?.start) await startOrQueue(services, vscode.Uri.file(trained.file));
  });
}
