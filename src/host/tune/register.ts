import type * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';

/** Tune Recipe: the best learning rate and rank within a budget. */
export const registerTune = (services: Services): vscode.Disposable =>
  services.commands.add(COMMANDS.tuneRecipe, async (argument) => {
    const { tuneRecipe } = await import('./tuneRecipe');
    await tuneRecipe(services, argument);
  });
