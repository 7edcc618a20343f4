import type * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';

/** Train on This Repository: a dataset and a recipe of the files that git tracks. */
export const registerRepository = (services: Services): vscode.Disposable =>
  services.commands.add(COMMANDS.trainOnRepository, async () => {
    const { trainOnRepository } = await import('./trainOnRepository');
    await trainOnRepository(services);
  });
