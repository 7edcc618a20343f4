import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { startOrQueue } from '../queue/startOrQueue';
import type { Services } from '../services';
import { chooseRecipe } from './chooseRecipe';
import { registerRecipeLens } from './codeLens';

/** Run Recipe, and the CodeLens above the first line of a recipe. */
export function registerRecipes(services: Services): vscode.Disposable {
  return vscode.Disposable.from(
    services.commands.add(COMMANDS.runRecipe, async (argument) => {
      const recipe = await chooseRecipe(argument);
      if (recipe) await startOrQueue(services, recipe);
    }),
    registerRecipeLens(),
  );
}
